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

// Extensions by their identifier, each with its value: of a certificate ([3]) or a list ([0]).
function extensionsOf(der, wrapper) {
  if (wrapper === undefined) return new Map();
  return new Map(elements(der, element(der, wrapper.from, wrapper.to)).map((extension) => {
    const parts = elements(der, extension);
    return [hexOf(der, parts[0]), element(der, parts[parts.length - 1].from, parts[parts.length - 1].to)];
  }));
}

// URIs in full names of distribution points: DistributionPointName is [0], fullName in it [0], a URI [6].
function pointsOf(der, point) {
  return elements(der, point).filter((part) => part.tag === 0xa0).flatMap((name) => elements(der, name)).filter((name) => name.tag === 0xa0)
    .flatMap((names) => elements(der, names)).filter((name) => name.tag === 0x86).map((uri) => hexOf(der, uri));
}

// Whose certificates a list speaks of: all of its issuer (null), those that name one of these points, or none that matter here: a delta, or a list for some
// reasons, of authorities or of other issuers (RFC 5280 sections 5.2.4 and 5.2.5).
function scopeOf(der, extensions) {
  const point = extensions.get('551d1c');
  if (extensions.has('551d1b')) return [];
  if (point === undefined) return null;
  const isForUsers = elements(der, point).every((part) => part.tag === 0xa0 || part.tag === 0x81);
  const isNamed = elements(der, point).some((part) => part.tag === 0xa0);
  return isForUsers ? (isNamed ? pointsOf(der, point) : null) : [];
}

// A CertificateList (RFC 5280 section 5.1): what it is signed with, its issuer's name, its end and the serials on it.
function readList(der) {
  const [tbs, algorithm, signature] = elements(der, element(der, 0, der.length));
  const all = elements(der, tbs);
  const fields = all.filter((field) => field.tag !== 0x02 && field.tag !== 0xa0);
  const [, issuer, , next] = fields;
  const isTime = next !== undefined && (next.tag === 0x17 || next.tag === 0x18);
  const revoked = fields.slice(isTime ? 4 : 3).filter((field) => field.tag === 0x30).flatMap((list) => elements(der, list));
  return {
    issuer: hexOf(der, issuer),
    scope: scopeOf(der, extensionsOf(der, all.find((field) => field.tag === 0xa0))),
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
  const points = extensionsOf(der, elements(der, tbs).find((field) => field.tag === 0xa3)).get('551d1f');
  const named = points === undefined ? [] : elements(der, points).flatMap((point) => pointsOf(der, point));
  // Of an authority that parts its lists the one counts that the certificate names.
  const own = lists.filter((list) => list.issuer === name && (list.scope === null || list.scope.some((uri) => named.includes(uri))));
  const key = certificate.issuerCertificate?.publicKey;
  const isKnown = own.length > 0 && key !== undefined && own.every((list) => list.nextUpdate > Date.now() && list.isSignedBy(key));
  return isKnown && !own.some((list) => list.serials.has(hexOf(der, serial)));
}
`;
