import { fromBinary } from '@bufbuild/protobuf';
import {
  DrillJobSchema,
  OcspStapleSchema,
  ProxySettingsSchema,
  RevokedSetSchema,
  TicketKeysSchema,
} from '../../core/messages/generated/countersign/v1/settings_pb.ts';
import { DRILL_JOB_TYPE, OCSP_STAPLE_TYPE, REVOKED_SET_TYPE, SETTINGS_TYPE, TICKET_KEYS_TYPE } from '../../core/messages/type-urls.ts';
import { ocspUrisOf } from '../../core/x509/authority-info-access.ts';
import { parseCertificate } from '../../core/x509/certificate.ts';
import { environmentOf, probeSpiffeId, trustDomainOf } from '../../core/identity/spiffe-id.ts';
import type { StoredIdentity } from '../../platform/keystore/stored-identity.ts';
import type { Acknowledgement } from './link-handlers.ts';
import type { Subscription } from './subscription.ts';
import type { SubscriptionDeps } from './subscription-deps.ts';
import { trustSubscription } from './trust-subscription.ts';

/** What this data plane asks for, in the order in which it must be in force: whom to trust, whom not, what to do, what to probe. */
export function subscriptionsOf(deps: SubscriptionDeps): Subscription[] {
  const { identity, state, handlers, saver, accepted } = deps;
  const trustDomain = trustDomainOf(identity.spiffeId);
  const isProbe = identity.spiffeId === probeSpiffeId(trustDomain, environmentOf(identity.spiffeId));
  const { onDrillJob, onStaple, onTicketKeys } = handlers;
  return [
    trustSubscription(deps),
    {
      typeUrl: REVOKED_SET_TYPE,
      names: [trustDomain],
      async apply(_name, octets) {
        const set = fromBinary(RevokedSetSchema, octets);
        return keep(await handlers.onRevokedSet(set), async () => {
          await saver.save('revoked-set', () => state.writeRevokedSet(set));
          accepted.revokedSet(set);
        });
      },
    },
    ...(onTicketKeys === undefined
      ? []
      : [
          {
            typeUrl: TICKET_KEYS_TYPE,
            names: [identity.proxyId],
            apply: (_name: string, octets: Uint8Array) => onTicketKeys(fromBinary(TicketKeysSchema, octets)),
          },
        ]),
    {
      typeUrl: SETTINGS_TYPE,
      names: [identity.proxyId],
      async apply(_name, octets) {
        const settings = fromBinary(ProxySettingsSchema, octets);
        if (settings.proxyId !== identity.proxyId || settings.spiffeId !== identity.spiffeId)
          return refuse('the settings are for another proxy');
        return keep(await handlers.onSettings(settings), async () => {
          await saver.save('settings', () => state.writeSettings(settings));
          await accepted.settings(settings);
        });
      },
    },
    ...(onStaple === undefined || !namesResponder(identity)
      ? []
      : [
          {
            typeUrl: OCSP_STAPLE_TYPE,
            names: [identity.proxyId],
            async apply(_name: string, octets: Uint8Array) {
              const staple = fromBinary(OcspStapleSchema, octets);
              return keep(await onStaple(staple), () => saver.save('staple', () => state.writeStaple(staple)));
            },
          },
        ]),
    ...(isProbe && onDrillJob !== undefined
      ? [
          {
            typeUrl: DRILL_JOB_TYPE,
            names: ['*'],
            apply: (_name: string, octets: Uint8Array) => onDrillJob(fromBinary(DrillJobSchema, octets)),
          },
        ]
      : []),
  ];
}

/** Others, such as what is too short-lived to be revoked, have nothing to staple (RFC 9608). */
function namesResponder({ chain: [leaf] }: StoredIdentity): boolean {
  return leaf !== undefined && ocspUrisOf(parseCertificate(leaf)).length > 0;
}

async function keep(answer: Acknowledgement, save: () => Promise<void>): Promise<Acknowledgement> {
  if (answer.kind === 'accepted') await save();
  return answer;
}

function refuse(reason: string): Acknowledgement {
  return { kind: 'refused', reason };
}
