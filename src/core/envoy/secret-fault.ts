import { fromBinary } from '@bufbuild/protobuf';
import { createHash, createPublicKey } from 'node:crypto';
import type { DataSource } from '../messages/generated/envoy/config/core/v3/base_pb.ts';
import {
  type CertificateValidationContext,
  CertificateValidationContext_TrustChainVerification,
  type TlsCertificate,
  type TlsSessionTicketKeys,
} from '../messages/generated/envoy/extensions/transport_sockets/tls/v3/common_pb.ts';
import { SecretSchema } from '../messages/generated/envoy/extensions/transport_sockets/tls/v3/secret_pb.ts';
import { SPIFFECertValidatorConfigSchema } from '../messages/generated/envoy/extensions/transport_sockets/tls/v3/tls_spiffe_validator_config_pb.ts';
import type { Instant } from '../time/instant.ts';
import { type CertificateList, parseCertificateList } from '../x509/certificate-list.ts';
import { type Certificate, parseCertificate } from '../x509/certificate.ts';
import { equalOctets } from '../x509/der.ts';
import { SERVERS_TRUST } from './trust-secret.ts';
import { decodePem } from '../x509/pem.ts';

/** Why Envoy would refuse a secret, or be unsafe with it; null where nothing is wrong. The text names no key. */
export function secretFault(now: Instant, octets: Uint8Array): string | null {
  const { name, type } = fromBinary(SecretSchema, octets);
  switch (type.case) {
    case 'tlsCertificate':
      return certificateFault(type.value);
    case 'sessionTicketKeys':
      return ticketKeysFault(type.value);
    case 'validationContext':
      return contextFault(now, type.value, { isNamed: name !== SERVERS_TRUST });
    default:
      return 'it holds nothing that this version knows';
  }
}

function certificateFault({ certificateChain, privateKey }: TlsCertificate): string | null {
  const chain = certificatesIn(certificateChain);
  if (typeof chain === 'string') return `certificate chain: ${chain}`;
  const [leaf] = chain;
  if (leaf === undefined) return 'certificate chain: it holds no certificate';
  let spki: Uint8Array;
  try {
    spki = createPublicKey(textOf(privateKey)).export({ format: 'der', type: 'spki' });
  } catch {
    return 'private key: it cannot be read';
  }
  return equalOctets(spki, leaf.spki) ? null : 'private key: it is of another certificate';
}

function ticketKeysFault({ keys }: TlsSessionTicketKeys): string | null {
  if (keys.length === 0) return 'session ticket keys: there is none';
  const odd = keys.find((key) => octetsOf(key).length !== TICKET_KEY_OCTETS);
  return odd === undefined ? null : `session ticket keys: one has ${octetsOf(odd).length} octets, not ${TICKET_KEY_OCTETS}`;
}

/** Of those without names each way that refers to one says them by itself, or is no way. */
function contextFault(now: Instant, context: CertificateValidationContext, { isNamed }: { readonly isNamed: boolean }): string | null {
  const { trustedCa, customValidatorConfig, matchTypedSubjectAltNames, trustChainVerification } = context;
  if (trustedCa === undefined && customValidatorConfig === undefined)
    return 'trusted CA: there is none, so that every certificate would do';
  const isLenient = trustChainVerification === CertificateValidationContext_TrustChainVerification.ACCEPT_UNTRUSTED;
  if (isNamed && matchTypedSubjectAltNames.length === 0 && !isLenient)
    return 'names: there is none, so that every certificate of the trusted CA would do';
  if (customValidatorConfig !== undefined) return domainsFault(context);
  const authorities = certificatesIn(trustedCa);
  if (typeof authorities === 'string') return `trusted CA: ${authorities}`;
  if (authorities.length === 0) return 'trusted CA: it holds no certificate';
  return context.crl === undefined ? null : listsFault(now, { source: context.crl, authorities, leafOnly: context.onlyVerifyLeafCertCrl });
}

function domainsFault({ customValidatorConfig }: CertificateValidationContext): string | null {
  const { trustDomains } = fromBinary(SPIFFECertValidatorConfigSchema, customValidatorConfig?.typedConfig?.value ?? new Uint8Array());
  if (trustDomains.length === 0) return 'trust domains: there is none';
  for (const { name, trustBundle } of trustDomains) {
    const authorities = certificatesIn(trustBundle);
    if (typeof authorities === 'string') return `trust domain ${name}: ${authorities}`;
    if (authorities.length === 0) return `trust domain ${name}: it holds no certificate`;
  }
  return null;
}

type Lists = { readonly source: DataSource; readonly authorities: readonly Certificate[]; readonly leafOnly: boolean };

/** With one list, BoringSSL demands one of every issuer that it meets, and refuses all whose list is missing or over. */
function listsFault(now: Instant, { source, authorities, leafOnly }: Lists): string | null {
  const lists = listsIn(source);
  if (typeof lists === 'string') return `CRL: ${lists}`;
  if (lists.length === 0) return 'CRL: it holds no list';
  const scoped = lists.find(({ isPart }) => isPart);
  if (scoped !== undefined) return 'CRL: one is for a part of the certificates, or a delta';
  const over = lists.find(({ nextUpdate }) => nextUpdate !== null && nextUpdate < now);
  if (over !== undefined) return `CRL: one is over since ${new Date(over.nextUpdate!).toISOString()}`;
  const needed = authorities.filter(({ subject, issuer }) => !leafOnly || !equalOctets(subject.der, issuer.der));
  const missing = needed.find(({ subject }) => !lists.some(({ issuer }) => equalOctets(issuer, subject.der)));
  return missing === undefined ? null : `CRL: there is none of the authority with the key ${missing.spkiSha256}`;
}

type ListFacts = { readonly isPart: boolean; readonly nextUpdate: Instant | null; readonly issuer: Uint8Array };

/** Read once wherever they stand: all secrets of all Envoys have the same. A text says what is wrong. */
function listsIn(source: DataSource): readonly ListFacts[] | string {
  const key = createHash('sha256').update(octetsOf(source)).digest('hex');
  const known = readLists.get(key);
  if (known !== undefined) return known;
  try {
    const lists = decodePem(textOf(source), 'X509 CRL').map((der) => factsOf(parseCertificateList(der)));
    if (readLists.size >= MAXIMUM_READ) readLists.clear();
    readLists.set(key, lists);
    return lists;
  } catch (error) {
    return (error as Error).message;
  }
}

function factsOf({ scope, deltaBase, nextUpdate, issuer }: CertificateList): ListFacts {
  return { isPart: scope !== null || deltaBase !== null, nextUpdate, issuer: Uint8Array.from(issuer.der) };
}

/** A text says what is wrong. */
function certificatesIn(source: DataSource | undefined): readonly Certificate[] | string {
  try {
    return decodePem(textOf(source), 'CERTIFICATE').map((der) => parseCertificate(der));
  } catch (error) {
    return (error as Error).message;
  }
}

function textOf(source: DataSource | undefined): string {
  return Buffer.from(octetsOf(source)).toString('latin1');
}

function octetsOf(source: DataSource | undefined): Uint8Array {
  const specifier = source?.specifier;
  if (specifier?.case === 'inlineBytes') return specifier.value;
  return specifier?.case === 'inlineString' ? Buffer.from(specifier.value, 'utf8') : new Uint8Array();
}

/** A name, a key for HMAC and one for AES. */
const TICKET_KEY_OCTETS = 80;

/** What lists say, by the digest of their text. */
const readLists = new Map<string, readonly ListFacts[]>();
const MAXIMUM_READ = 16;
