/** The object identifiers that only CMP and CRMF have (RFC 9810, 4211, 9481, 8018). */
export const cmpOids = {
  // protection
  passwordBasedMac: '1.2.840.113533.7.66.13',
  pbmac1: '1.2.840.113549.1.5.14',
  pbkdf2: '1.2.840.113549.1.5.12',
  /** The older name of HMAC with SHA-1, of RFC 4210. */
  hmacSha1OfCmp: '1.3.6.1.5.5.8.1.2',
  hmacSha1: '1.2.840.113549.2.7',
  hmacSha256: '1.2.840.113549.2.9',
  hmacSha384: '1.2.840.113549.2.10',
  hmacSha512: '1.2.840.113549.2.11',
  // controls of a certificate request (RFC 4211 section 6)
  oldCertId: '1.3.6.1.5.5.7.5.1.5',
  algId: '1.3.6.1.5.5.7.5.1.11',
  rsaKeyLen: '1.3.6.1.5.5.7.5.1.12',
  // id-it: what general messages and generalInfo are about
  signKeyPairTypes: '1.3.6.1.5.5.7.4.2',
  currentCrl: '1.3.6.1.5.5.7.4.6',
  implicitConfirm: '1.3.6.1.5.5.7.4.13',
  confirmWaitTime: '1.3.6.1.5.5.7.4.14',
  caCerts: '1.3.6.1.5.5.7.4.17',
  rootCaKeyUpdate: '1.3.6.1.5.5.7.4.18',
  certReqTemplate: '1.3.6.1.5.5.7.4.19',
  rootCaCert: '1.3.6.1.5.5.7.4.20',
  certProfile: '1.3.6.1.5.5.7.4.21',
  crlStatusList: '1.3.6.1.5.5.7.4.22',
  crls: '1.3.6.1.5.5.7.4.23',
} as const;
