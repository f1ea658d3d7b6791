import { fromBinary } from '@bufbuild/protobuf';
import {
  BundleAuthority_Role,
  DrillJobSchema,
  OcspStapleSchema,
  ProxySettingsSchema,
  type ProxySettings,
  RevokedSetSchema,
  TicketKeysSchema,
  type RevokedSet,
  type TrustBundle,
  TrustBundleSchema,
} from '../../core/messages/generated/countersign/v1/settings_pb.ts';
import {
  DRILL_JOB_TYPE,
  OCSP_STAPLE_TYPE,
  REVOKED_SET_TYPE,
  SETTINGS_TYPE,
  TICKET_KEYS_TYPE,
  TRUST_BUNDLE_TYPE,
} from '../../core/messages/type-urls.ts';
import { ocspUrisOf } from '../../core/x509/authority-info-access.ts';
import { parseCertificate } from '../../core/x509/certificate.ts';
import { environmentOf, probeSpiffeId, trustDomainOf } from '../../core/identity/spiffe-id.ts';
import type { StateDirectory } from '../../platform/keystore/state-directory.ts';
import type { StoredIdentity } from '../../platform/keystore/stored-identity.ts';
import type { Acknowledgement, LinkHandlers } from './link-handlers.ts';
import type { StateSaver } from './state-saver.ts';
import type { Subscription } from './subscription.ts';

export type SubscriptionDeps = {
  readonly identity: StoredIdentity;
  readonly state: StateDirectory;
  readonly handlers: LinkHandlers;
  readonly saver: StateSaver;
  /** Why the link itself cannot live by this bundle, or null. */
  readonly objection: (bundle: TrustBundle) => string | null;
  /** What the link itself keeps of what was accepted. */
  readonly accepted: {
    readonly trustBundle: (bundle: TrustBundle) => void;
    readonly revokedSet: (set: RevokedSet) => void;
    readonly settings: (settings: ProxySettings) => Promise<void>;
  };
};

/** What this data plane asks for, in the order in which it must be in force: whom to trust, whom not, what to do, what to probe. */
export function subscriptionsOf({ identity, state, handlers, saver, objection, accepted }: SubscriptionDeps): Subscription[] {
  const trustDomain = trustDomainOf(identity.spiffeId);
  const isProbe = identity.spiffeId === probeSpiffeId(trustDomain, environmentOf(identity.spiffeId));
  const { onDrillJob, onStaple, onTicketKeys } = handlers;
  return [
    {
      typeUrl: TRUST_BUNDLE_TYPE,
      names: [trustDomain],
      async apply(_name, octets) {
        const bundle = fromBinary(TrustBundleSchema, octets);
        if (bundle.trustDomain !== trustDomain) return refuse(`the bundle is for ${JSON.stringify(bundle.trustDomain)}`);
        if (!bundle.authorities.some(({ role }) => role === BundleAuthority_Role.ROOT)) return refuse('the bundle has no root');
        const against = objection(bundle);
        if (against !== null) return refuse(against);
        return keep(await handlers.onTrustBundle(bundle), async () => {
          await saver.save('trust-bundle', () => state.writeTrustBundle(bundle));
          accepted.trustBundle(bundle);
        });
      },
    },
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
