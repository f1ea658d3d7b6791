import type { KeyRule } from '../issuance/profile.ts';
import { subjectAltNameExtension } from '../x509/build-certificate.ts';
import { type DerNode, oid, sequence, smallInteger } from '../x509/der-writer.ts';
import type { SubjectAltNames } from '../x509/general-name.ts';
import { buildName } from '../x509/name.ts';
import { oids } from '../x509/oid.ts';
import { certificateTemplateNode } from './certificate-template.ts';
import { cmpOids } from './cmp-oids.ts';

/** CertReqTemplateContent (RFC 9810 section 5.3.19.16): what a request by this sender may hold, and which keys it may be for. */
export function requestTemplateNode(names: Partial<SubjectAltNames>, keys: KeyRule): DerNode {
  const template = certificateTemplateNode({ subject: buildName([]), extensions: [subjectAltNameExtension(names, true)] });
  return sequence(template, sequence(...keyNodes(keys)));
}

/** One control for each kind of key; RSA by its least length (section 5.3.19.16: algId does not say how long). */
function keyNodes({ curves, ed25519, rsaBits }: KeyRule): DerNode[] {
  return [
    ...curves.map((curve) => algorithm(oid(oids.ecPublicKey), oid(curveOids[curve]))),
    ...(ed25519 ? [algorithm(oid(oids.ed25519))] : []),
    ...(rsaBits === null ? [] : [sequence(oid(cmpOids.rsaKeyLen), smallInteger(rsaBits.min))]),
  ];
}

function algorithm(...identifier: readonly DerNode[]): DerNode {
  return sequence(oid(cmpOids.algId), sequence(...identifier));
}

const curveOids = { 'P-256': oids.p256, 'P-384': oids.p384, 'P-521': oids.p521 } as const;
