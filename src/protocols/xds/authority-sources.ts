import { create, toBinary } from '@bufbuild/protobuf';
import type { RevokedSet } from '../../control/ca/revoked-set.ts';
import type { TrustBundle } from '../../control/ca/trust-bundle.ts';
import {
  BundleAuthority_Role,
  type RevokedCertificate,
  RevokedCertificateSchema,
  type RevokedSet as RevokedSetMessage,
  RevokedSetSchema,
  type TrustBundle as TrustBundleMessage,
  TrustBundleSchema,
} from '../../core/messages/generated/countersign/v1/settings_pb.ts';
import { REVOKED_SET_TYPE, TRUST_BUNDLE_TYPE } from '../../core/messages/type-urls.ts';
import { subjectMark } from '../../core/identity/subject-mark.ts';
import type { TrustDomain } from '../../core/identity/trust-domain.ts';
import type { FederatedBundleReader } from './federated-bundles.ts';
import type { ResourceSource } from './resource-source.ts';
import { type Changes, sharedSource } from './sources.ts';

/** Whom to trust: our own authorities for every data plane, and for each those of the other trust domains that its settings need. `read` is `readTrustBundle` of control/ca. */
export function trustBundleSource(deps: {
  readonly read: () => Promise<TrustBundle | null>;
  readonly changes: Changes;
  readonly federated?: FederatedBundleReader;
}): ResourceSource {
  const own = ownBundleSource(deps);
  const { federated } = deps;
  if (federated === undefined) return own;
  return {
    ...own,
    async read(node, names) {
      const others = await federated.read(node);
      return [...(await own.read(node, names)), ...others.filter(({ name }) => names === null || names.includes(name))];
    },
    subscribe(listener) {
      const subscriptions = [own.subscribe(listener), federated.subscribe(() => listener(null))];
      return { [Symbol.dispose]: () => subscriptions.forEach((subscription) => subscription[Symbol.dispose]()) };
    },
  };
}

function ownBundleSource(deps: { readonly read: () => Promise<TrustBundle | null>; readonly changes: Changes }): ResourceSource {
  return sharedSource({
    typeUrl: TRUST_BUNDLE_TYPE,
    changes: deps.changes,
    async read() {
      const bundle = await deps.read();
      if (bundle === null) return null;
      return { name: bundle.trustDomain, octets: toBinary(TrustBundleSchema, trustBundleMessage(bundle)) };
    },
  });
}

/** Whom not to trust any more, for every data plane. `read` is `readRevokedSet` of control/ca. */
export function revokedSetSource(deps: {
  readonly trustDomain: TrustDomain;
  readonly read: () => Promise<RevokedSet>;
  readonly changes: Changes;
}): ResourceSource {
  return sharedSource({
    typeUrl: REVOKED_SET_TYPE,
    changes: deps.changes,
    async read() {
      return { name: deps.trustDomain, octets: toBinary(RevokedSetSchema, revokedSetMessage(await deps.read())) };
    },
  });
}

export function trustBundleMessage({ trustDomain, sequence, authorities }: TrustBundle): TrustBundleMessage {
  return create(TrustBundleSchema, {
    trustDomain,
    sequence: BigInt(sequence),
    authorities: authorities.map(({ role, certificate }) => ({
      role: role === 'root' ? BundleAuthority_Role.ROOT : BundleAuthority_Role.ISSUING,
      certificate,
    })),
  });
}

/** The same object for the same set, so that what is made of it is made once. */
export function revokedSetMessage(set: RevokedSet): RevokedSetMessage {
  const known = messages.get(set);
  if (known !== undefined) return known;
  const { sequence, certificates, suspended } = set;
  const message = create(RevokedSetSchema, {
    sequence: BigInt(sequence),
    certificates: certificates.map(certificateMessage),
    suspendedSpiffeIds: [...suspended],
  });
  messages.set(set, message);
  return message;
}

function certificateMessage(record: RevokedSet['certificates'][number]): RevokedCertificate {
  const known = certificateMessages.get(record);
  if (known !== undefined) return known;
  const { issuerKeySha256, serial, spiffeId, forDrill } = record;
  const message = create(RevokedCertificateSchema, {
    issuerKeySha256: Buffer.from(issuerKeySha256, 'hex'),
    serial,
    forDrill,
    ...(spiffeId === null ? {} : { subject: subjectMark(spiffeId) }),
  });
  certificateMessages.set(record, message);
  return message;
}

const messages = new WeakMap<RevokedSet, RevokedSetMessage>();
const certificateMessages = new WeakMap<RevokedSet['certificates'][number], RevokedCertificate>();
