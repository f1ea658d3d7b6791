import type { KeyUsageBit } from './extensions.ts';
import { oids } from './oid.ts';

/** Key usages that are consistent with a purpose, one of which is enough (RFC 5280 section 4.2.1.12); other purposes name none. */
export const purposeUsages: ReadonlyMap<string, readonly KeyUsageBit[]> = new Map([
  [oids.serverAuth, ['digitalSignature', 'keyEncipherment', 'keyAgreement']],
  [oids.clientAuth, ['digitalSignature', 'keyAgreement']],
  [oids.codeSigning, ['digitalSignature']],
  [oids.emailProtection, ['digitalSignature', 'nonRepudiation', 'keyEncipherment', 'keyAgreement']],
  [oids.timeStamping, ['digitalSignature', 'nonRepudiation']],
  [oids.ocspSigning, ['digitalSignature', 'nonRepudiation']],
]);
