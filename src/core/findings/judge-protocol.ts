import type { Policy } from '../policy/policy.ts';
import { tlsGroups, tlsSuites } from '../policy/tls-parameters.ts';
import { cipherSuiteName, suiteWeakness, type SuiteWeakness } from '../tls/cipher-suite-registry.ts';
import { namedGroupName } from '../tls/named-group.ts';
import { protocolVersionName, protocolVersions } from '../tls/protocol-version.ts';
import { isBrokenScheme, signatureSchemeName } from '../tls/signature-scheme.ts';
import { type Finding, makeFinding } from './finding.ts';
import type { TlsPosture } from './posture.ts';

/** Holds what an endpoint agrees to in handshakes against the policy. */
export function judgeProtocol(posture: TlsPosture, { tls }: Policy): readonly Finding[] {
  return [
    ...judgeVersions(posture, tls),
    ...judgeSuites(posture, tls.suites),
    ...judgeGroups(posture, tls.groups),
    ...posture.schemes.tls12.filter(isBrokenScheme).map((code) => makeFinding('scheme-weak', `TLS 1.2 signs ${signatureSchemeName(code)}`)),
    ...(posture.compresses ? [makeFinding('compression', 'DEFLATE was chosen')] : []),
    ...(posture.renegotiatesSecurely === false ? [makeFinding('renegotiation-insecure', 'no renegotiation_info in ServerHello')] : []),
    ...(posture.renegotiatesForClients === true ? [makeFinding('renegotiation-by-client', 'a renegotiation of TLS 1.2 ended well')] : []),
    ...(posture.earlyDataOctets > 0 ? [makeFinding('early-data', `tickets allow ${posture.earlyDataOctets} octets`)] : []),
  ];
}

function judgeVersions({ versions }: TlsPosture, { minimumVersion, maximumVersion }: Policy['tls']): readonly Finding[] {
  const findings = versions.flatMap((version) => {
    const code = protocolVersions[version];
    if (code < protocolVersions['1.2']) return [makeFinding('version-obsolete', `${protocolVersionName(version)} is spoken`)];
    if (code >= protocolVersions[minimumVersion] && code <= protocolVersions[maximumVersion]) return [];
    return [
      makeFinding(
        'version-not-allowed',
        `${protocolVersionName(version)} is spoken, the policy has ${minimumVersion} to ${maximumVersion}`,
      ),
    ];
  });
  if (versions.includes(maximumVersion)) return findings;
  return [...findings, makeFinding('version-missing', `${protocolVersionName(maximumVersion)} is not spoken`)];
}

function judgeSuites({ olderSuites, serverOrders }: TlsPosture, allowed: Policy['tls']['suites']): readonly Finding[] {
  const codes = new Set<number>(allowed.map((name) => tlsSuites[name].iana));
  const strange = olderSuites.filter((code) => !codes.has(code));
  const findings = strange.map((code) => {
    const weakness = suiteWeakness(code);
    const name = cipherSuiteName(code);
    if (weakness === null) return makeFinding('suite-not-allowed', name);
    return makeFinding(broken.has(weakness) ? 'suite-broken' : 'suite-dated', `${name}: ${weaknesses[weakness]}`);
  });
  if (serverOrders !== false || strange.length === 0) return findings;
  return [
    ...findings,
    makeFinding('suite-order', `the client chooses, ${strange.length} of ${olderSuites.length} suites are not of the policy`),
  ];
}

function judgeGroups({ groups, primeBits, versions }: TlsPosture, allowed: Policy['tls']['groups']): readonly Finding[] {
  const names = [...new Set([...groups.tls13, ...groups.older].map(namedGroupName))];
  const findings = names.flatMap((name) => {
    if (allowed.some((group) => group === name)) return [];
    return [makeFinding(weakGroups.has(name) ? 'group-weak' : 'group-not-allowed', name)];
  });
  if (primeBits !== null && primeBits < MINIMUM_PRIME_BITS) findings.push(makeFinding('group-weak', `a prime of ${primeBits} bits`));
  const strong = allowed.filter((group) => tlsGroups[group].isPostQuantum);
  const isMissing = strong.length > 0 && versions.includes('1.3') && !strong.some((group) => names.includes(group));
  return isMissing ? [...findings, makeFinding('post-quantum-missing', `none of ${strong.join(', ')}`)] : findings;
}

const broken: ReadonlySet<SuiteWeakness> = new Set(['no-encryption', 'anonymous', 'broken-cipher']);
const weaknesses: { readonly [W in SuiteWeakness]: string } = {
  'no-encryption': 'nothing is encrypted',
  anonymous: 'nobody is authenticated',
  'broken-cipher': 'the cipher or its key length is broken',
  'no-forward-secrecy': 'no forward secrecy',
  cbc: 'CBC without encrypt-then-MAC is open to padding oracles',
  'short-tag': 'a tag of 64 bits',
};
const weakGroups: ReadonlySet<string> = new Set(['P-192', 'secp192k1', 'P-224', 'secp224k1']);
const MINIMUM_PRIME_BITS = 2_048;
