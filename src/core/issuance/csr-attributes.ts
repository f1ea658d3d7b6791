import { contextConstructed, tags } from '../x509/der.ts';
import { constructed, type DerNode, encodeDer, nullValue, oid, sequence, smallInteger } from '../x509/der-writer.ts';
import { oids } from '../x509/oid.ts';
import type { KeyRule, Profile } from './profile.ts';

/**
 * What a CSR under this profile has to hold, as CsrAttrs (RFC 8951 section 3.5): a template (RFC 9908 section 3.4) with alternative names that the client fills in
 * and, where only one is allowed, the kind of its key; before it, for whoever reads no templates and where that is demanded, the word that it be bound to TLS.
 */
export function buildCsrAttributes({ keys }: Pick<Profile, 'keys'>, isBound: boolean): Uint8Array {
  const template = attribute(oids.requestTemplate, requestTemplate(keys));
  return encodeDer(sequence(...(isBound ? [oid(oids.challengePassword)] : []), template));
}

/** CertificationRequestInfoTemplate: no subject, for certificates have none here. */
function requestTemplate(keys: KeyRule): DerNode {
  const algorithm = onlyAlgorithm(keys);
  const extensions = sequence(sequence(oid(oids.subjectAltName)));
  return sequence(
    smallInteger(0),
    ...(algorithm === null ? [] : [constructed(contextConstructed(0), [algorithm])]),
    constructed(contextConstructed(1), [attribute(oids.extensionTemplate, extensions)]),
  );
}

/** AlgorithmIdentifier; null: the client has a choice. */
function onlyAlgorithm({ curves, ed25519, rsaBits }: KeyRule): DerNode | null {
  const kinds = [
    ...curves.map((curve) => sequence(oid(oids.ecPublicKey), oid(curveOids[curve]))),
    ...(ed25519 ? [sequence(oid(oids.ed25519))] : []),
    ...(rsaBits === null ? [] : [sequence(oid(oids.rsaEncryption), nullValue())]),
  ];
  return kinds.length === 1 ? kinds[0]! : null;
}

function attribute(type: string, value: DerNode): DerNode {
  return sequence(oid(type), constructed(tags.set, [value]));
}

const curveOids = { 'P-256': oids.p256, 'P-384': oids.p384, 'P-521': oids.p521 } as const;
