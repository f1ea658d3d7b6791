/** How bad a finding is, the worst first. */
export const severities = ['critical', 'high', 'medium', 'low'] as const;
export type Severity = (typeof severities)[number];

export type PostureRule = {
  readonly severity: Severity;
  /** What is found. */
  readonly meaning: string;
  /** Where it stands; `Policy` names a field of the endpoint's policy. */
  readonly clause: string;
  readonly fix: string;
};

/** Every rule that a TLS endpoint is held against; docs/reference/rules.md is made from it. */
export const postureRules = {
  'no-tls': {
    severity: 'critical',
    meaning: 'The port takes connections, and answers no ClientHello as TLS',
    clause: 'RFC 9325 section 3.2',
    fix: 'Give the endpoint a certificate and put a proxy or a listener of TLS in front of it',
  },
  plaintext: {
    severity: 'high',
    meaning: 'HTTP in the clear is answered on the port that speaks TLS',
    clause: 'RFC 9325 section 3.2',
    fix: 'Raise the paths of the endpoint to enforce, or close the plaintext listener',
  },
  'version-obsolete': {
    severity: 'high',
    meaning: 'SSL 3.0, TLS 1.0 or TLS 1.1 is spoken',
    clause: 'RFC 8996, RFC 7568',
    fix: 'Set the lowest version of the server to TLS 1.2',
  },
  'version-not-allowed': {
    severity: 'medium',
    meaning: 'A version outside of the bounds of the policy is spoken',
    clause: 'Policy tls.minimumVersion, tls.maximumVersion',
    fix: 'Set the lowest and the highest version of the server to those of the policy',
  },
  'version-missing': {
    severity: 'low',
    meaning: 'The newest version that the policy allows is not spoken',
    clause: 'Policy tls.maximumVersion, RFC 9325 section 3.1.1',
    fix: 'Switch the version on, or update what ends TLS here',
  },
  'suite-broken': {
    severity: 'high',
    meaning: 'A suite without encryption, without authentication or with a broken cipher is accepted',
    clause: 'RFC 9325 section 4.1',
    fix: 'Take all suites off the list that the policy does not name',
  },
  'suite-dated': {
    severity: 'medium',
    meaning: 'A suite without forward secrecy, with CBC or with a short tag is accepted',
    clause: 'RFC 9325 sections 4.1 and 4.2',
    fix: 'Take all suites off the list that the policy does not name',
  },
  'suite-not-allowed': {
    severity: 'low',
    meaning: 'A sound suite of TLS 1.2 is accepted that the policy does not name',
    clause: 'Policy tls.suites',
    fix: 'Take the suite off the list, or name it in the policy',
  },
  'suite-order': {
    severity: 'low',
    meaning: "The client's order of suites wins, and some that are accepted are not of the policy",
    clause: 'RFC 9325 section 4.2.1',
    fix: "Let the server's order of suites win, or accept only suites of the policy",
  },
  'group-weak': {
    severity: 'high',
    meaning: 'Keys are agreed upon in a group of less than 128 bits of strength, or a prime shorter than 2048 bits',
    clause: 'RFC 9325 section 4.1, RFC 8422 section 5.1.1',
    fix: 'Allow only the groups of the policy; give a finite field at least 2048 bits, or switch DHE off',
  },
  'group-not-allowed': {
    severity: 'low',
    meaning: 'A sound group is accepted that the policy does not name',
    clause: 'Policy tls.groups',
    fix: 'Take the group off the list, or name it in the policy',
  },
  'post-quantum-missing': {
    severity: 'low',
    meaning: 'The policy names groups that hold against quantum computers, and none of them is accepted',
    clause: 'Policy tls.groups',
    fix: 'Switch X25519MLKEM768 on: OpenSSL 3.5, BoringSSL and Go 1.24 have it',
  },
  'scheme-weak': {
    severity: 'medium',
    meaning: 'The server signs its handshake with SHA-1 or MD5 for those who ask',
    clause: 'RFC 9155',
    fix: 'Take SHA-1 and MD5 off the signature algorithms of the server',
  },
  compression: {
    severity: 'high',
    meaning: 'TLS compression is accepted, which gives secrets away (CRIME)',
    clause: 'RFC 9325 section 3.3',
    fix: 'Switch TLS compression off',
  },
  'renegotiation-insecure': {
    severity: 'high',
    meaning: 'Renegotiation is not bound to the connection (RFC 5746 is not spoken)',
    clause: 'RFC 9325 section 3.5',
    fix: 'Update what ends TLS here',
  },
  'renegotiation-by-client': {
    severity: 'medium',
    meaning: 'A client can have keys negotiated anew as often as it likes, which costs the server more than the client',
    clause: 'RFC 9325 section 3.5',
    fix: 'Refuse renegotiation (SSL_OP_NO_RENEGOTIATION), or speak TLS 1.3 only',
  },
  'early-data': {
    severity: 'medium',
    meaning: 'Tickets allow early data, which can be sent again by anybody who saw it',
    clause: 'RFC 8446 section 8, RFC 9325 section 3.10',
    fix: 'Switch early data (0-RTT) off',
  },
  'client-certificate-missing': {
    severity: 'critical',
    meaning: 'A client without a certificate is let in where one has to be required',
    clause: 'The expectation of the target',
    fix: 'Require a certificate of an authority that only your callers have: raise the paths to enforce',
  },
  'client-certificate-unproven': {
    severity: 'medium',
    meaning: 'Whether a client certificate is required could not be seen where one has to be',
    clause: 'The expectation of the target',
    fix: 'See in the evidence what the endpoint did, and make it finish or refuse handshakes',
  },
  'client-certificate-required': {
    severity: 'medium',
    meaning: 'A client certificate is required where none must be',
    clause: 'The expectation of the target',
    fix: 'Do not ask callers of this endpoint for a certificate',
  },
  'certificate-malformed': {
    severity: 'high',
    meaning: 'A certificate that is served cannot be read, or none is served',
    clause: 'RFC 5280 section 4.1',
    fix: 'Issue the certificate anew',
  },
  'certificate-expired': {
    severity: 'critical',
    meaning: 'A certificate of the chain has expired',
    clause: 'RFC 5280 section 4.1.2.5',
    fix: 'Renew the certificate, and find out why that did not happen by itself',
  },
  'certificate-not-yet-valid': {
    severity: 'high',
    meaning: 'A certificate of the chain is not valid yet',
    clause: 'RFC 5280 section 4.1.2.5',
    fix: 'Serve the certificate before until then, and look at the clocks',
  },
  'certificate-expiring': {
    severity: 'high',
    meaning: 'A certificate of the chain expires soon',
    clause: 'RFC 5280 section 4.1.2.5',
    fix: 'Renew the certificate, and see that the new one is served',
  },
  'name-mismatch': {
    severity: 'critical',
    meaning: 'The certificate is for other names than the one called by',
    clause: 'RFC 9525 section 6',
    fix: 'Issue a certificate with this subjectAltName, or serve the right one for the server name',
  },
  'self-signed': {
    severity: 'high',
    meaning: 'The certificate is signed by its own key',
    clause: 'RFC 5280 section 6.1',
    fix: 'Issue the certificate by an authority that the callers trust',
  },
  'chain-incomplete': {
    severity: 'high',
    meaning: "The issuer of the certificate is neither served nor an anchor: an intermediate is missing, or its authority is a stranger's",
    clause: 'RFC 8446 section 4.4.2',
    fix: 'Serve the intermediates after the certificate',
  },
  'chain-untrusted': {
    severity: 'critical',
    meaning: 'The chain leads to no anchor, or breaks a rule on its way there',
    clause: 'RFC 5280 section 6.1',
    fix: 'Serve a certificate of an authority that the callers trust',
  },
  'chain-order': {
    severity: 'low',
    meaning: 'A certificate of the chain does not certify the one before it',
    clause: 'RFC 8446 section 4.4.2, RFC 5246 section 7.4.2',
    fix: 'Serve leaf, then its issuer, and so on; leave out what is not of the chain',
  },
  'key-weak': {
    severity: 'high',
    meaning: 'A key of the chain is too short, known to be broken or of an uncommon kind',
    clause: 'RFC 9325 section 4.5, CA/B BR 6.1.1.3',
    fix: 'Make a new key (P-256, or RSA of 2048 bits at least), and have it certified',
  },
  'signature-weak': {
    severity: 'high',
    meaning: 'A certificate of the chain is signed with SHA-1 or MD5',
    clause: 'RFC 8446 section 4.4.2.2, CA/B BR 7.1.3.2',
    fix: 'Have the certificate issued anew with SHA-256',
  },
  'certificate-lint': {
    severity: 'low',
    meaning: 'The certificate breaks a standard of the IETF on its form',
    clause: 'RFC 5280; each finding names its own',
    fix: 'See the rule with `countersign cert lint`, and change the profile that issues it',
  },
  'staple-missing': {
    severity: 'high',
    meaning: 'The certificate demands a stapled answer, and none is served',
    clause: 'RFC 7633 section 4.2.3',
    fix: 'Switch OCSP stapling on',
  },
  'staple-invalid': {
    severity: 'medium',
    meaning: 'The stapled answer proves nothing',
    clause: 'RFC 6066 section 8, RFC 6960 section 3.2',
    fix: 'See that the server fetches a new answer in time, and for this certificate',
  },
  'certificate-revoked': {
    severity: 'critical',
    meaning: 'The stapled answer says that the certificate is revoked',
    clause: 'RFC 6960 section 2.2',
    fix: 'Issue a certificate with a new key, and serve it',
  },
  'hsts-missing': {
    severity: 'medium',
    meaning: 'The policy wants Strict-Transport-Security, and answers do not carry it',
    clause: 'Policy http.hsts, RFC 6797 section 7.1',
    fix: 'Send the field with every answer on TLS',
  },
  'hsts-weak': {
    severity: 'low',
    meaning: 'Strict-Transport-Security says less than the policy wants',
    clause: 'Policy http.hsts, RFC 6797 section 6.1',
    fix: 'Send max-age, includeSubDomains and preload as the policy has them',
  },
  'answer-field-missing': {
    severity: 'low',
    meaning: 'A field that the policy wants in answers is missing or says something else',
    clause: 'Policy http.answerFields',
    fix: 'Send the field with every answer on TLS',
  },
} as const satisfies { readonly [id: string]: PostureRule };

export type PostureRuleId = keyof typeof postureRules;
