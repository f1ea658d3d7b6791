/**
 * Every error code that Countersign can answer, with its HTTP status and what it means.
 * `docs/errors.md` is held against this table. Keep the keys sorted.
 */
export const problems = {
  'body-too-large': { status: 413, meaning: 'The body is larger than the route takes.' },
  'control-plane-unreachable': { status: 503, meaning: 'No connection to the control plane could be made, or it broke.' },
  'control-plane-unverified': {
    status: 502,
    meaning: 'The server did not prove that it is the control plane; nothing was sent to it.',
  },
  'csr-malformed': {
    status: 400,
    meaning: 'The certificate signing request is not a valid PKCS#10 structure, or its self-signature does not verify.',
  },
  'database-unsafe': {
    status: 500,
    meaning: 'The database runs with settings that would lose a commit in a power failure; the server refuses to start on them.',
  },
  'der-malformed': { status: 400, meaning: 'The input is not strict DER, or is cut, nested too deep or too large.' },
  forbidden: { status: 403, meaning: 'The caller is known, but its role or environment does not cover this.' },
  'identity-malformed': { status: 400, meaning: 'A name is not a valid DNS name, IP address, SPIFFE ID or trust domain.' },
  'input-invalid': { status: 400, meaning: 'The request does not have the documented form.' },
  internal: { status: 500, meaning: 'Something failed inside. The log has the reason, the answer has not.' },
  'issuance-refused': { status: 403, meaning: 'The issuance policy refuses this certificate; the reasons are listed.' },
  'key-file-unsafe': {
    status: 500,
    meaning: 'The key file or passphrase that protects the private keys is missing, too weak, readable by others or lies beside the data.',
  },
  'key-locked': { status: 500, meaning: 'A stored private key does not open with the key file or passphrase given, or was altered.' },
  'log-invalid': {
    status: 400,
    meaning: 'A checkpoint, tile or entry of the audit log is cut, changed or not signed by the expected key.',
  },
  'media-type-unsupported': { status: 415, meaning: 'The body is not of the media type that the route takes.' },
  'not-found': { status: 404, meaning: 'There is no such thing, or the caller may not see it.' },
  'plane-unable': {
    status: 409,
    meaning: 'What is declared for a proxy is more than its plane can do; proxy, endpoint and field are named.',
  },
  'rate-limited': { status: 429, meaning: 'Too many attempts in a short time; try again later.' },
  'state-conflict': { status: 409, meaning: 'The thing is in a state that does not allow this.' },
  'state-corrupt': { status: 500, meaning: 'A file of the state directory is cut, changed or of an unknown form; it is not used.' },
  'state-permissions': {
    status: 500,
    meaning: 'The state directory or a file in it belongs to someone else or is open to others; it is not used.',
  },
  'telemetry-refused': {
    status: 403,
    meaning: 'The report names an endpoint that the data plane neither serves nor calls, or holds what only another kind of node may send.',
  },
  'token-refused': { status: 401, meaning: 'The token is unknown, used, expired or for something else.' },
  unauthenticated: { status: 401, meaning: 'The request carries no valid credential.' },
} as const satisfies Record<string, { readonly status: number; readonly meaning: string }>;

export type ProblemCode = keyof typeof problems;
