/**
 * Why a connection or call is, or would be, refused (receiver), or failed (caller).
 * A closed set: it is the word on the wire, in telemetry, plans, drills and the log.
 */
export const refusalReasons = {
  plaintext: 'no TLS where TLS is demanded',
  'tls-version': 'no TLS version that the policy allows',
  'tls-malformed': 'the handshake broke: not TLS, or cut, or no common parameters',
  'proxy-header': 'no PROXY protocol header where one is demanded, a broken one, or one from whom none is taken',
  'no-certificate': 'TLS without a client certificate',
  'unknown-authority': 'the certificate does not chain to an authority of the trust bundle',
  'crossed-trust-domain': 'the certificate names one trust domain and chains to the authorities of another',
  'chain-invalid': 'the chain breaks a rule of RFC 5280 section 6 (constraint, critical extension, signature)',
  expired: 'a certificate of the chain is past its notAfter',
  'not-yet-valid': 'a certificate of the chain is before its notBefore',
  revoked: 'the certificate is in the revoked set',
  suspended: 'the identity is suspended',
  'wrong-usage': 'the certificate may not be used for this side of TLS',
  'wrong-identity': 'the proved identity is not an allowed caller, or not the expected server',
  route: 'the proved identity may call the endpoint, but not by this method, host and path',
  'status-unknown': 'nobody could say that the certificate of a server outside of the trust domain is not revoked, and that is demanded',
  'unpinned-key': 'no key of the server is among the pins',
  'exception-ended': 'the agreed exception that allowed it has ended',
  token: 'the call has no good access token that is bound to the certificate of its caller',
  'unverified-resumption': 'a resumed session whose full handshake was never judged here',
  'unknown-server-name': 'no endpoint of the port has the name that the ClientHello asks for',
  'host-mismatch': 'the name in SNI and the name in the request differ',
  'request-malformed': 'the request is not acceptable HTTP',
  'upstream-unreachable': 'the next hop did not accept a connection',
  'upstream-broken': 'the next hop broke the connection before it answered',
  timeout: 'a named time limit passed',
  'body-too-large': 'the body of the call is longer than the policy allows',
  'limit-exceeded': 'a named size or count limit was passed',
} as const;

export type RefusalReason = keyof typeof refusalReasons;

/** True if the word is one of the closed set. */
export function isRefusalReason(word: string): word is RefusalReason {
  return Object.hasOwn(refusalReasons, word);
}
