/**
 * Certificates of the parties outside of Acme's control plane: the payment processor's own CA and what the impostor forges.
 * A small DER writer of its own, so that nothing here depends on what it is used against.
 */
import { createPrivateKey, generateKeyPairSync, randomBytes, sign, type KeyObject } from 'node:crypto';

/** A key with the certificate over it, both PEM. */
export type Credential = { readonly key: string; readonly certificate: string };

export type CertificateRequest = {
  readonly commonName: string;
  readonly isAuthority: boolean;
  readonly uris?: readonly string[];
  readonly dnsNames?: readonly string[];
};

/** Makes a P-256 key and a certificate over it that is valid for a day, signed by `issuer`, or by itself without one. */
export function makeCredential(request: CertificateRequest, issuer?: { readonly commonName: string; readonly key: string }): Credential {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const signer = issuer === undefined ? privateKey : createPrivateKey(issuer.key);
  const now = Date.now();
  const tbs = sequence(
    wrap(0xa0, integer(Buffer.from([2]))),
    integer(Buffer.concat([Buffer.from([0x40]), randomBytes(15)])),
    ecdsaWithSha256(),
    name(issuer?.commonName ?? request.commonName),
    sequence(utcTime(now - 60_000), utcTime(now + 24 * 3_600_000)),
    name(request.commonName),
    publicKey.export({ format: 'der', type: 'spki' }),
    wrap(0xa3, sequence(...extensionsOf(request))),
  );
  return { key: privateKey.export({ format: 'pem', type: 'pkcs8' }).toString(), certificate: assemble(tbs, signer) };
}

/** A PKCS#10 request (RFC 2986) for a fresh P-256 key that asks for these URIs, DER. */
export function makeSigningRequest(uris: readonly string[]): { readonly der: Buffer; readonly key: string } {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const names = extension('551d11', false, sequence(...uris.map((uri) => wrap(0x86, Buffer.from(uri)))));
  // extensionRequest, PKCS#9
  const attribute = sequence(oid('2a864886f70d01090e'), wrap(0x31, sequence(names)));
  const info = sequence(
    integer(Buffer.from([0])),
    sequence(),
    publicKey.export({ format: 'der', type: 'spki' }),
    uris.length === 0 ? wrap(0xa0) : wrap(0xa0, attribute),
  );
  const der = sequence(info, ecdsaWithSha256(), wrap(0x03, Buffer.from([0]), sign('sha256', info, privateKey)));
  return { der, key: privateKey.export({ format: 'pem', type: 'pkcs8' }).toString() };
}

function assemble(tbs: Buffer, signer: KeyObject): string {
  const der = sequence(tbs, ecdsaWithSha256(), wrap(0x03, Buffer.from([0]), sign('sha256', tbs, signer)));
  return `-----BEGIN CERTIFICATE-----\n${der
    .toString('base64')
    .match(/.{1,64}/g)!
    .join('\n')}\n-----END CERTIFICATE-----\n`;
}

/** RFC 5280 section 4.2: basicConstraints, keyUsage, extKeyUsage and subjectAltName. */
function extensionsOf({ isAuthority, uris = [], dnsNames = [] }: CertificateRequest): Buffer[] {
  const basicConstraints = isAuthority ? sequence(wrap(0x01, Buffer.from([0xff]))) : sequence();
  const keyUsage = Buffer.from(isAuthority ? [0x03, 0x02, 0x01, 0x06] : [0x03, 0x02, 0x07, 0x80]);
  const names = [...uris.map((uri) => wrap(0x86, Buffer.from(uri))), ...dnsNames.map((dns) => wrap(0x82, Buffer.from(dns)))];
  const extensions = [extension('551d13', true, basicConstraints), extension('551d0f', true, keyUsage)];
  if (!isAuthority) extensions.push(extension('551d25', false, sequence(oid('2b06010505070301'), oid('2b06010505070302'))));
  if (names.length > 0) extensions.push(extension('551d11', false, sequence(...names)));
  return extensions;
}

function extension(id: string, isCritical: boolean, value: Buffer): Buffer {
  return sequence(oid(id), ...(isCritical ? [wrap(0x01, Buffer.from([0xff]))] : []), wrap(0x04, value));
}

function name(commonName: string): Buffer {
  return sequence(wrap(0x31, sequence(oid('550403'), wrap(0x0c, Buffer.from(commonName)))));
}

function ecdsaWithSha256(): Buffer {
  return sequence(oid('2a8648ce3d040302'));
}

function utcTime(at: number): Buffer {
  const digits = new Date(at).toISOString().replace(/[-:T]/g, '').slice(2, 14);
  return wrap(0x17, Buffer.from(`${digits}Z`));
}

function integer(content: Buffer): Buffer {
  return wrap(0x02, content);
}

function oid(hex: string): Buffer {
  return wrap(0x06, Buffer.from(hex, 'hex'));
}

function sequence(...parts: readonly Buffer[]): Buffer {
  return wrap(0x30, ...parts);
}

function wrap(tag: number, ...parts: readonly Buffer[]): Buffer {
  const content = Buffer.concat(parts);
  if (content.length < 0x80) return Buffer.concat([Buffer.from([tag, content.length]), content]);
  const size = content.length < 0x100 ? [0x81, content.length] : [0x82, content.length >> 8, content.length & 0xff];
  return Buffer.concat([Buffer.from([tag, ...size]), content]);
}
