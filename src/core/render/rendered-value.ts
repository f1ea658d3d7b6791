import { type DnsName, parseDnsName } from '../identity/dns-name.ts';
import { parseIpAddress } from '../identity/ip-address.ts';
import { Problem } from '../problems/problem.ts';

/**
 * An absolute path of a file on the proxy's machine. Its characters mean nothing to any of the languages that are written here, so it
 * stands in each as it is: what would have to be escaped in one of them is refused for all.
 */
export type RenderedPath = string & { readonly brand: 'RenderedPath' };

/** An address and a port, both in a spelling that every language reads alike. */
export type RenderedAddress = { readonly host: string; readonly port: number };

/** @throws input-invalid */
export function parseRenderedPath(what: string, text: string): RenderedPath {
  const isPlain = text.length <= MAXIMUM_PATH && /^(?:\/[A-Za-z0-9_+@=-][A-Za-z0-9_.+@=-]*)+$/.test(text);
  if (!isPlain) throw refused(what, text, 'an absolute path of letters, digits and _ . + @ = - whose parts begin with no dot');
  return text as RenderedPath;
}

/** `IP:PORT`, an address of IPv6 in brackets. @throws input-invalid */
export function parseRenderedAddress(what: string, text: string): RenderedAddress {
  const [, v6, v4, port = ''] = /^(?:\[([0-9a-fA-F:.]{2,45})\]|([0-9.]{7,15})):([1-9][0-9]{0,4})$/.exec(text) ?? [];
  if (Number(port) > 65_535 || port === '') throw refused(what, text, 'IP:PORT');
  return { host: attempt(what, () => parseIpAddress(v6 ?? v4 ?? '')), port: Number(port) };
}

/** One name of a host, of itself: a wildcard would let hosts share what is judged apart. @throws input-invalid */
export function parseRenderedName(what: string, text: string): DnsName {
  return attempt(what, () => parseDnsName(text));
}

export function formatAddress({ host, port }: RenderedAddress): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

/** What a URL of https says of the port. */
export function portSuffix({ port }: RenderedAddress): string {
  return port === 443 ? '' : `:${port}`;
}

export function refused(what: string, found: string, expected: string): Problem {
  return new Problem('input-invalid', `Cannot render ${what}: ${JSON.stringify(found.slice(0, 100))}, expected ${expected}`);
}

function attempt<T>(what: string, parse: () => T): T {
  try {
    return parse();
  } catch (cause) {
    if (!(cause instanceof Problem)) throw cause;
    throw new Problem('input-invalid', `Cannot render ${what}: ${cause.message.replace(/^Cannot parse /, '')}`, { cause });
  }
}

/** The shortest limit of the systems that these proxies run on is 4096 with its end (PATH_MAX). */
const MAXIMUM_PATH = 4_095;
