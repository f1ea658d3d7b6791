import { isIP } from 'node:net';
import { parseDnsName, parseDnsPattern } from '../../core/identity/dns-name.ts';
import { parseIpAddress } from '../../core/identity/ip-address.ts';
import { parseSpiffeId } from '../../core/identity/spiffe-id.ts';
import { parseTrustDomain } from '../../core/identity/trust-domain.ts';
import { Problem } from '../../core/problems/problem.ts';
import { parseMethod, parsePathPattern } from '../../core/routes/call-pattern.ts';
import { decodePem } from '../../core/x509/pem.ts';
import { parseCertificate } from '../../core/x509/certificate.ts';
import { formatHostPort, parseHostPort } from '../../platform/network/host-port.ts';
import type { TextForm } from './declaration-fields.ts';

/** A name of a thing: it becomes part of SPIFFE IDs and of URLs. */
export const nameForm: TextForm = matching(/^(?!countersign$)[a-z0-9][a-z0-9._-]{0,62}$/, 'a name of [a-z0-9._-], at most 63');

/** As in the control plane's configuration. */
export const labelForm: TextForm = matching(/^[a-z0-9][a-z0-9-]{0,62}$/, 'a label of [a-z0-9-], at most 63');

/** One line for people. */
export const lineForm: TextForm = matching(/^[^\p{Cc}\p{Cf}\p{Zl}\p{Zp}]{1,100}$/u, 'text of 1 to 100 characters without controls');
export const reasonForm: TextForm = matching(/^[^\p{Cc}\p{Cf}\p{Zl}\p{Zp}]{1,500}$/u, 'text of 1 to 500 characters without controls');

/** A service by name, or a SPIFFE ID. */
export const callerForm: TextForm = {
  expected: 'the name of a service or a SPIFFE ID',
  parse: (text) => (text.startsWith('spiffe://') ? parseSpiffeId(text) : nameForm.parse(text)),
};

/** A service, or a name in the certificate of one. */
export const routeCallerForm: TextForm = {
  expected: 'the name of a service, a SPIFFE ID, dns:NAME or uri:URI',
  parse: (text) => {
    if (text.startsWith('dns:')) return `dns:${parseDnsName(text.slice(4))}`;
    if (!text.startsWith('uri:')) return callerForm.parse(text);
    if (!/^uri:[a-z][a-z0-9+.-]{0,30}:[\x21-\x7e]{1,1000}$/i.test(text)) throw refused();
    return text;
  },
};

export const trustDomainForm: TextForm = { expected: 'a trust domain of [a-z0-9._-], at most 255', parse: parseTrustDomain };
export const spiffeIdForm: TextForm = { expected: 'a SPIFFE ID with a path', parse: parseSpiffeId };

/** Of a bundle endpoint: SPIFFE Federation section 5.2 wants https without credentials. */
export const bundleUrlForm: TextForm = {
  expected: 'an https URL without credentials and fragment, at most 2000 characters',
  parse: (text) => {
    const url = text.length <= 2_000 && URL.canParse(text) ? new URL(text) : null;
    if (url === null || url.protocol !== 'https:' || url.username !== '' || url.password !== '' || url.hash !== '') throw refused();
    return url.href;
  },
};

export const pathPatternForm: TextForm = { expected: 'a path such as /a/b, /a/*/b or /a/**', parse: parsePathPattern };
export const methodForm: TextForm = { expected: 'a registered HTTP method in capitals', parse: parseMethod };

export const addressForm: TextForm = { expected: 'IP:PORT with a port above 0', parse: parseAddress };

/** Where a proxy listens or hands on: an address or a Unix socket. */
export const socketForm: TextForm = {
  expected: `IP:PORT or unix:/absolute/path of at most ${107} octets`,
  parse: (text) => (text.startsWith('unix:') ? parseUnixPath(text) : parseAddress(text)),
};

/**
 * Where a proxy takes its own service's calls: whoever reaches it speaks under the service's identity, so it never leaves the machine.
 */
export const localSocketForm: TextForm = {
  expected: 'a loopback IP:PORT or unix:/absolute/path',
  parse: (text) => {
    const address = socketForm.parse(text);
    if (address.startsWith('unix:') || isLoopback(parseHostPort(address).host)) return address;
    throw refused();
  },
};

export const dnsNameForm: TextForm = { expected: 'a DNS name', parse: parseDnsName };

export const serverNameForm: TextForm = { expected: 'a DNS name, or one behind *. for one label', parse: parseDnsPattern };

/** As OkHttp and others write pins (RFC 7469 section 2.1.1 for what is hashed). */
export const pinForm: TextForm = matching(/^sha256\/[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=$/, 'sha256/ and 44 characters of base64');

/** Addresses in one spelling, so that what is compared is the range and not its text. */
export const rangeForm: TextForm = {
  expected: 'a range such as 10.0.0.0/8',
  parse: (text) => {
    const [, network = '', bits = ''] = /^([0-9a-fA-F.:]+)\/(0|[1-9][0-9]{0,2})$/.exec(text) ?? [];
    const family = isIP(network);
    if (family === 0 || Number(bits) > (family === 4 ? 32 : 128)) throw refused();
    return `${parseIpAddress(network)}/${bits}`;
  },
};

export const anchorsForm: TextForm = {
  expected: `1 to ${20} certificates as PEM`,
  parse: (text) => {
    const anchors = decodePem(text, 'CERTIFICATE');
    if (anchors.length === 0 || anchors.length > 20) throw refused();
    for (const anchor of anchors) parseCertificate(anchor);
    return `${text.trim()}\n`;
  },
};

/** A day (its end in UTC is meant) or an instant with its offset, as ISO 8601 writes them. */
export const dateForm: TextForm = {
  expected: 'a date such as 2027-01-31 or an instant such as 2027-01-31T12:00:00Z',
  parse: (text) => {
    if (!/^\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d{1,3})?)?(Z|[+-]\d\d:\d\d))?$/.test(text)) throw refused();
    const at = Date.parse(text.length === 10 ? `${text}T23:59:59.999Z` : text);
    // A day that does not exist, such as 2027-02-30, is moved on by some parsers and refused by others.
    if (Number.isNaN(at) || (text.length === 10 && new Date(at).toISOString().slice(0, 10) !== text)) throw refused();
    return String(at);
  },
};

function parseAddress(text: string): string {
  const address = parseHostPort(text);
  if (address.port === 0) throw refused();
  return formatHostPort(address);
}

/** Linux keeps a socket's path in 108 octets with a final zero (unix(7)). */
function parseUnixPath(text: string): string {
  const path = text.slice('unix:'.length);
  if (!/^\/[^\p{Cc}]+$/u.test(path) || path.split('/').includes('..') || Buffer.byteLength(path) > 107) throw refused();
  return text;
}

function isLoopback(host: string): boolean {
  return isIP(host) === 4 ? host.startsWith('127.') : host === '::1';
}

function matching(pattern: RegExp, expected: string): TextForm {
  return {
    expected,
    parse: (text) => {
      if (!pattern.test(text)) throw refused();
      return text;
    },
  };
}

/** The reader of the field says where and what was expected. */
function refused(): Problem {
  return new Problem('input-invalid', 'Cannot read text');
}
