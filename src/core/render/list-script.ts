/**
 * What a service of Node reads certificate lists with, where there is one of the issuing authority only: OpenSSL, as Node uses it, wants one of every authority
 * in the path. It stands beside `callerFunctions`.
 */
export const listFunctions = `// Names of hashes by the signature algorithm's identifier: ECDSA, RSA, Ed25519.
const hashes = { '2a8648ce3d040302': 'sha256', '2a8648ce3d040303': 'sha384', '2a8648ce3d040304': 'sha512', '2a864886f70d01010b': 'sha256',
  '2a864886f70d01010c': 'sha384', '2a864886f70d01010d': 'sha512', '2b6570': null };
const hexOf = (der, part) => der.subarray(part.from, part.to).toString('hex');

// UTCTime until 2049, then GeneralizedTime (RFC 5280 section 5.1.2.4).
function timeOf(der, part) {
  const text = (part.tag === 0x17 ? '20' : '') + der.subarray(part.from, part.to).toString('latin1');
  return Date.parse(text.replace(/^(....)(..)(..)(..)(..)(..)Z$/, '$1-$2-$3T$4:$5:$6Z'));
}

// A CertificateList (RFC 5280 section 5.1): what it is signed with, its issuer's name, its end and the serials on it.
function readList(der) {
  const [tbs, algorithm, signature] = elements(der, element(der, 0, der.length));
  const fields = elements(der, tbs).filter((field) => field.tag !== 0x02 && field.tag !== 0xa0);
  const [, issuer, , next] = fields;
  const isTime = next !== undefined && (next.tag === 0x17 || next.tag === 0x18);
  const revoked = fields.slice(isTime ? 4 : 3).filter((field) => field.tag === 0x30).flatMap((list) => elements(der, list));
  return {
    issuer: hexOf(der, issuer),
    nextUpdate: isTime ? timeOf(der, next) : 0,
    serials: new Set(revoked.map((entry) => hexOf(der, elements(der, entry)[0]))),
    isSignedBy: (key) => {
      const oid = hexOf(der, elements(der, algorithm)[0]);
      const octets = der.subarray(signature.from + 1, signature.to);
      return oid in hashes && verify(hashes[oid], der.subarray(element(der, 0, der.length).from, tbs.to), key, octets);
    },
  };
}

// Whether a list of its issuer, signed by that and not past its end, has nothing against this certificate. No list is no proof.
function isUnrevoked(certificate) {
  const der = certificate.raw;
  const tbs = element(der, element(der, 0, der.length).from, der.length);
  const [serial, , issuer] = elements(der, tbs).filter((field) => field.tag !== 0xa0);
  const name = hexOf(der, issuer);
  const own = lists.filter((list) => list.issuer === name);
  const key = certificate.issuerCertificate?.publicKey;
  const isKnown = own.length > 0 && key !== undefined && own.every((list) => list.nextUpdate > Date.now() && list.isSignedBy(key));
  return isKnown && !own.some((list) => list.serials.has(hexOf(der, serial)));
}
`;
