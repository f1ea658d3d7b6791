import { parseDnsName } from '../../src/core/identity/dns-name.ts';
import { parseIpAddress } from '../../src/core/identity/ip-address.ts';
import type { Certificate } from '../../src/core/x509/certificate.ts';
import { judgePath, type PathDemands } from '../../src/core/x509/judge-path.ts';
import { oids } from '../../src/core/x509/oid.ts';
import { presentsIdentity } from '../../src/core/x509/service-identity.ts';

/** Judges a certificate as leaf, authority and anchor, whose signatures nobody checks, and asks it for a name of each kind. */
export function judgeEverywhere(certificate: Certificate, others: readonly [leaf: Certificate, root: Certificate]): void {
  const [leaf, root] = others;
  for (const path of [[certificate, root], [leaf, certificate, root], [leaf, certificate], [certificate]])
    judgePath(NOW, path, demands, { names: { left: 1_000 }, policies: { left: 1_000 } });
  presentsIdentity(certificate, { kind: 'dns', name: parseDnsName('a.test') });
  presentsIdentity(certificate, { kind: 'ip', address: parseIpAddress('10.0.0.1') });
  presentsIdentity(certificate, { kind: 'email', mailbox: { local: 'a', host: 'a.test' } });
  presentsIdentity(certificate, { kind: 'uri', uri: 'https://a.test/' });
}

/** 2026-06-01T12:00:00Z, within the validity of the corpus. */
const NOW = 1_780_315_200_000;
const demands: PathDemands = {
  purposes: [oids.serverAuth],
  keyUsage: ['digitalSignature'],
  endEntity: false,
  policies: { initial: new Set(['1.2.3']), explicit: true, inhibitMapping: false, inhibitAny: false },
  revocation: true,
  maxDepth: 3,
  conformance: 'profile',
};
