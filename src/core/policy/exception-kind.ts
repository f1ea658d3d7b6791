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
} as const satisfies Record<string, { readonly holdsPath: boolean; readonly meaning: string }>;

export type ExceptionKind = keyof typeof exceptionKinds;

export function isExceptionKind(word: string): word is ExceptionKind {
  return Object.hasOwn(exceptionKinds, word);
}
