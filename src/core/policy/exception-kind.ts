import { DAY_MS } from '../time/instant.ts';

/**
 * Why a path or endpoint is not mutual TLS end to end, by agreement, with an owner and an end.
 * `holdsPath`: the path stays as it is while the exception lasts; otherwise it is staged like any other and the exception names what remains.
 */
export const exceptionKinds = {
  'legacy-plaintext-hop': { holdsPath: false, meaning: 'plaintext on the hop between a bridge and the service behind it' },
  'legacy-tls-hop': { holdsPath: false, meaning: 'TLS 1.0, 1.1 or weak suites on the hop to a server that speaks no better' },
  'third-party': { holdsPath: true, meaning: 'one-way TLS to a server outside of the trust domain' },
  'plaintext-listener': { holdsPath: false, meaning: 'a listener beside the endpoint that answers plaintext, such as a health check' },
  'unmanaged-caller': { holdsPath: true, meaning: 'a caller that has no proxy yet' },
  'plaintext-path': { holdsPath: true, meaning: 'a path that stays plaintext for now' },
  probe: { holdsPath: false, meaning: 'a health probe without a certificate, let in for named calls' },
  scraper: { holdsPath: false, meaning: 'a collector of metrics without a certificate, let in for named calls' },
  'legacy-caller': { holdsPath: false, meaning: 'a caller of before without a certificate, let in for named calls' },
} as const satisfies Record<string, { readonly holdsPath: boolean; readonly meaning: string }>;

export type ExceptionKind = keyof typeof exceptionKinds;

export type AnonymousKind = Extract<ExceptionKind, 'probe' | 'scraper' | 'legacy-caller'>;

/**
 * The kinds that let somebody in without a certificate, and for how long at most: whoever probes and scrapes is asked once a year whether
 * it still does, and who could have a certificate is to have one by then.
 */
export const anonymousKinds: { readonly [Kind in AnonymousKind]: { readonly lastsAtMostMs: number } } = {
  probe: { lastsAtMostMs: 366 * DAY_MS },
  scraper: { lastsAtMostMs: 366 * DAY_MS },
  'legacy-caller': { lastsAtMostMs: 183 * DAY_MS },
};

export function isAnonymousKind(kind: ExceptionKind): kind is AnonymousKind {
  return Object.hasOwn(anonymousKinds, kind);
}

export function isExceptionKind(word: string): word is ExceptionKind {
  return Object.hasOwn(exceptionKinds, word);
}
