import type { TlsPolicy } from '../messages/generated/countersign/v1/settings_pb.ts';
import {
  type TlsParametersSchema,
  TlsParameters_TlsProtocol,
} from '../messages/generated/envoy/extensions/transport_sockets/tls/v3/common_pb.ts';
import type { Init } from './pack.ts';

/** `lenient`: peers so old that only a mode that refuses nobody lets them in. */
export type TlsStrictness = 'strict' | 'lenient';

/** A policy in the words of BoringSSL. The maximum is always said: as a client, Envoy would stop at TLS 1.2 by itself. */
export function tlsParameters(policy: TlsPolicy | undefined, strictness: TlsStrictness): Init<typeof TlsParametersSchema> {
  const minimum = policy?.minimumVersion || TLS_1_2;
  const maximum = policy?.maximumVersion || TLS_1_3;
  const suites = policy?.suites.length ? policy.suites : DEFAULT_SUITES;
  return {
    tlsMinimumProtocolVersion: strictness === 'lenient' ? TlsParameters_TlsProtocol.TLSv1_0 : protocolOf(minimum),
    tlsMaximumProtocolVersion: protocolOf(maximum),
    cipherSuites: strictness === 'lenient' ? [...suites, ...OLD_SUITES] : [...suites],
    ecdhCurves: policy?.groups.length ? [...policy.groups] : [...DEFAULT_GROUPS],
    signatureAlgorithms: [...SIGNATURE_ALGORITHMS],
  };
}

function protocolOf(version: number): TlsParameters_TlsProtocol {
  return version >= TLS_1_3 ? TlsParameters_TlsProtocol.TLSv1_3 : TlsParameters_TlsProtocol.TLSv1_2;
}

/** Groups that Envoy 1.40 knows, by the names of policies. */
export const envoyGroups: ReadonlySet<string> = new Set(['X25519MLKEM768', 'MLKEM1024', 'X25519', 'P-256', 'P-384', 'P-521']);

const TLS_1_2 = 0x0303;
const TLS_1_3 = 0x0304;
const DEFAULT_GROUPS = ['X25519MLKEM768', 'X25519', 'P-256'];
const DEFAULT_SUITES = [
  'ECDHE-ECDSA-AES128-GCM-SHA256',
  'ECDHE-RSA-AES128-GCM-SHA256',
  'ECDHE-ECDSA-AES256-GCM-SHA384',
  'ECDHE-RSA-AES256-GCM-SHA384',
  'ECDHE-ECDSA-CHACHA20-POLY1305',
  'ECDHE-RSA-CHACHA20-POLY1305',
];
const OLD_SUITES = [
  'ECDHE-ECDSA-AES128-SHA',
  'ECDHE-RSA-AES128-SHA',
  'ECDHE-ECDSA-AES256-SHA',
  'ECDHE-RSA-AES256-SHA',
  'AES128-GCM-SHA256',
  'AES256-GCM-SHA384',
  'AES128-SHA',
  'AES256-SHA',
];
/** No SHA-1, which BoringSSL still offers. */
const SIGNATURE_ALGORITHMS = [
  'ecdsa_secp256r1_sha256',
  'ecdsa_secp384r1_sha384',
  'ecdsa_secp521r1_sha512',
  'ed25519',
  'rsa_pss_rsae_sha256',
  'rsa_pss_rsae_sha384',
  'rsa_pss_rsae_sha512',
  'rsa_pkcs1_sha256',
  'rsa_pkcs1_sha384',
  'rsa_pkcs1_sha512',
];
/** All that we ever ask for; Envoy leaves out what it does not know without a word, until nothing is left. */
export const envoySuites: ReadonlySet<string> = new Set([...DEFAULT_SUITES, ...OLD_SUITES]);
