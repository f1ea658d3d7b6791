import { createHash } from 'node:crypto';
import type { SecureContextOptions, SecureVersion } from 'node:tls';
import type { TlsPolicy as WirePolicy } from '../../core/messages/generated/countersign/v1/settings_pb.ts';
import { signatureAlgorithms } from '../../core/policy/tls-parameters.ts';
import { Problem } from '../../core/problems/problem.ts';

/** Versions, groups and suites that a port or an origination allows. */
export type TlsPolicy = {
  /** IANA protocol versions, such as 0x0303. */
  readonly minimumVersion: number;
  readonly maximumVersion: number;
  readonly groups: readonly string[];
  /** TLS 1.2 suites by their OpenSSL names. */
  readonly suites: readonly string[];
  /** Digest of the content. */
  readonly digest: string;
};

/** Absent fields take the house's defaults: TLS 1.2 and 1.3, the hybrid group first, forward-secret AEAD suites. @throws input-invalid */
export function parseTlsPolicy(wire: WirePolicy | undefined): TlsPolicy {
  const minimumVersion = wire?.minimumVersion || TLS_1_2;
  const maximumVersion = wire?.maximumVersion || TLS_1_3;
  if (versions[minimumVersion] === undefined || versions[maximumVersion] === undefined || minimumVersion > maximumVersion) {
    throw invalid(`versions 0x${minimumVersion.toString(16)} to 0x${maximumVersion.toString(16)}`, '0x0303 (TLS 1.2) to 0x0304 (TLS 1.3)');
  }
  const groups = wire?.groups.length ? wire.groups : DEFAULT_GROUPS;
  const suites = wire?.suites.length ? wire.suites : DEFAULT_SUITES;
  // The names end up in an OpenSSL list, in which other characters are operators.
  const odd = [...groups, ...suites].find((name) => !/^[A-Za-z0-9_-]{1,64}$/.test(name));
  if (odd !== undefined || groups.length > MAXIMUM_NAMES || suites.length > MAXIMUM_NAMES) {
    throw invalid(JSON.stringify((odd ?? 'too many names').slice(0, 100)), 'at most 50 OpenSSL names');
  }
  const content = JSON.stringify([minimumVersion, maximumVersion, groups, suites]);
  return { minimumVersion, maximumVersion, groups, suites, digest: createHash('sha256').update(content).digest('hex') };
}

/** True if one of the versions that a ClientHello offers is allowed. */
export function allowsVersion(policy: TlsPolicy, offered: readonly number[]): boolean {
  return offered.some((version) => version >= policy.minimumVersion && version <= policy.maximumVersion);
}

/** What `tls.createSecureContext` takes of a policy. */
export function contextOptionsOf(policy: TlsPolicy): SecureContextOptions {
  return {
    minVersion: versions[policy.minimumVersion]!,
    maxVersion: versions[policy.maximumVersion]!,
    ciphers: [...TLS_1_3_SUITES, ...policy.suites].join(':'),
    ecdhCurve: policy.groups.join(':'),
    sigalgs: signatureAlgorithms.join(':'),
    honorCipherOrder: true,
  };
}

/** For a server that an agreed exception lets speak from this version on: never RC4, 3DES, export, anonymous or null suites. */
export function oldContextOptionsOf(policy: TlsPolicy, minimumVersion: number): SecureContextOptions {
  // Servers so old may sign with SHA-1.
  const { sigalgs: _sigalgs, ...strict } = contextOptionsOf(policy);
  return {
    ...strict,
    minVersion: oldVersions[minimumVersion] ?? 'TLSv1.2',
    ciphers: `${strict.ciphers}:${OLD_SUITES.join(':')}@SECLEVEL=0`,
  };
}

/** For peers so old that only a mode that refuses nobody lets them in: they are counted as would-be refusals. */
export const legacyContextOptions: SecureContextOptions = { minVersion: 'TLSv1', maxVersion: 'TLSv1.2', ciphers: 'DEFAULT@SECLEVEL=0' };

function invalid(found: string, expected: string): Problem {
  return new Problem('input-invalid', `Cannot use TLS policy: ${found}, expected ${expected}`);
}

const TLS_1_2 = 0x0303;
const TLS_1_3 = 0x0304;
const versions: { readonly [version: number]: SecureVersion } = { [TLS_1_2]: 'TLSv1.2', [TLS_1_3]: 'TLSv1.3' };
const DEFAULT_GROUPS = ['X25519MLKEM768', 'X25519', 'P-256'];
const DEFAULT_SUITES = [
  'ECDHE-ECDSA-AES128-GCM-SHA256',
  'ECDHE-RSA-AES128-GCM-SHA256',
  'ECDHE-ECDSA-AES256-GCM-SHA384',
  'ECDHE-RSA-AES256-GCM-SHA384',
  'ECDHE-ECDSA-CHACHA20-POLY1305',
  'ECDHE-RSA-CHACHA20-POLY1305',
];
/** The AES-128 suite first: it costs the least where the processor has AES instructions. */
const TLS_1_3_SUITES = ['TLS_AES_128_GCM_SHA256', 'TLS_AES_256_GCM_SHA384', 'TLS_CHACHA20_POLY1305_SHA256'];
const oldVersions: { readonly [version: number]: SecureVersion } = { 0x0301: 'TLSv1', 0x0302: 'TLSv1.1' };
/** With forward secrecy first. */
const OLD_SUITES = [
  'ECDHE-ECDSA-AES128-SHA256',
  'ECDHE-RSA-AES128-SHA256',
  'ECDHE-ECDSA-AES128-SHA',
  'ECDHE-RSA-AES128-SHA',
  'ECDHE-ECDSA-AES256-SHA',
  'ECDHE-RSA-AES256-SHA',
  'AES128-GCM-SHA256',
  'AES256-GCM-SHA384',
  'AES128-SHA256',
  'AES128-SHA',
  'AES256-SHA',
];
const MAXIMUM_NAMES = 50;
