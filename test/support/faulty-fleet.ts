import { constants, generateKeyPairSync } from 'node:crypto';
import { createServer as createHttpServer } from 'node:http';
import { createServer as createHttpsServer, type ServerOptions } from 'node:https';
import type { Socket } from 'node:net';
import { DAY_MS, HOUR_MS } from '../../src/core/time/instant.ts';
import { tlsSuites } from '../../src/core/policy/tls-parameters.ts';
import { encodePem } from '../../src/core/x509/pem.ts';
import { certify, makeHolder } from './make-certificate.ts';
import { openssl } from './openssl.ts';
import { makeTestAuthority } from './test-authority.ts';
import { type Pem, pemOf, TlsServers } from './tls-servers.ts';

/** An endpoint with one fault, and the rule under which it has to be found. */
export type FaultyEndpoint = {
  readonly rule: string;
  readonly port: number;
  /** Lines of its target in a check file. */
  readonly target?: readonly string[];
};

/** A fleet on loopback with one of each fault; each but for its fault is as `goodEndpoint` is. */
export async function startFaultyFleet(servers: TlsServers): Promise<readonly FaultyEndpoint[]> {
  const now = Date.now();
  const { authority } = servers;
  const served = (pem: Pem, more: ServerOptions = {}): Promise<number> => goodEndpoint(servers, { ...pem, ...more });
  const leaf = (...given: Parameters<TlsServers['credential']>): Pem => pemOf(servers.credential(...given));
  const good = leaf();
  const [issued, issuing] = good.cert.split(/(?<=-----END CERTIFICATE-----\n)/);
  const root = encodePem('CERTIFICATE', authority.root.der);
  const weak = generateKeyPairSync('rsa', { modulusLength: 1_024 });
  const self = makeHolder('localhost');
  const selfSigned = certify(self, self, false, {
    notBefore: now - DAY_MS,
    notAfter: now + DAY_MS,
    subjectAltNames: { dns: ['localhost'] },
  });
  const stranger = makeTestAuthority(now, 'Stranger').issue({ dnsNames: ['localhost'], usages: ['server'] });
  const { curves, suites } = goodTls;
  return Promise.all(
    Object.entries({
      'certificate-expired': served(leaf({ notBefore: now - 2 * DAY_MS, notAfter: now - HOUR_MS })),
      'certificate-expiring': served(leaf({ notBefore: now - 2 * DAY_MS, notAfter: now + HOUR_MS })),
      'certificate-not-yet-valid': served(leaf({ notBefore: now + HOUR_MS })),
      'name-mismatch': served(leaf({ dnsNames: ['elsewhere.example'] })),
      'chain-untrusted': served(pemOf(stranger)),
      'chain-incomplete': served({ ...good, cert: issued! }),
      'chain-order': served({ ...good, cert: `${issued}${root}${issuing}` }),
      'self-signed': served({ cert: encodePem('CERTIFICATE', selfSigned.der), key: keyOf(self.key) }),
      'key-weak': served({ ...leaf({ publicKey: weak.publicKey }), key: keyOf(weak.privateKey) }, { ciphers: `${suites}:@SECLEVEL=0` }),
      'signature-weak': signWithSha1(servers).then((pem) => served(pem, { ciphers: `${suites}:@SECLEVEL=0` })),
      'staple-missing': served(leaf({ mustStaple: true })),
      'version-obsolete': served(good, { minVersion: 'TLSv1', ciphers: `${suites}:ECDHE-ECDSA-AES128-SHA:@SECLEVEL=0` }),
      'version-missing': served(good, { maxVersion: 'TLSv1.2' }),
      'suite-broken': served(good, { ciphers: `${suites}:ECDHE-ECDSA-NULL-SHA:@SECLEVEL=0` }),
      'suite-dated': served(good, { ciphers: `${suites}:ECDHE-ECDSA-AES128-SHA256` }),
      'group-not-allowed': served(good, { ecdhCurve: `${curves}:P-521` }),
      'renegotiation-by-client': served(good, { secureOptions: 0 }),
      'post-quantum-missing': served(good, { ecdhCurve: 'X25519:P-256' }),
      'client-certificate-missing': served(good, { requestCert: true, rejectUnauthorized: false }),
      'hsts-missing': served(good),
      plaintext: bothWays(servers, good),
      'no-tls': servers.byHand((socket) => void socket.once('data', () => socket.end(`HTTP/1.1 200 ${HOSTILE_TEXT}\r\n\r\n`, 'utf8'))),
    }).map(async ([rule, port]) => ({ rule, port: await port, ...(targets[rule] === undefined ? {} : { target: targets[rule] }) })),
  );
}

/** A server under the default policy. */
export function goodEndpoint(servers: TlsServers, options: ServerOptions = {}): Promise<number> {
  return servers.node({
    minVersion: 'TLSv1.2',
    ecdhCurve: goodTls.curves,
    ciphers: goodTls.suites,
    secureOptions: constants.SSL_OP_NO_RENEGOTIATION,
    ...options,
  });
}

/** Issued by the fleet's own authority, which for once signs with SHA-1. */
async function signWithSha1(servers: TlsServers): Promise<Pem> {
  const { authority } = servers;
  const { key } = servers.credential();
  const [keyFile, issuer, issuerKey, extensions, request, out] = await Promise.all([
    servers.file(keyOf(key)),
    servers.file(encodePem('CERTIFICATE', authority.issuing.der)),
    servers.file(keyOf(authority.issuingKey)),
    servers.file(
      'subjectAltName=DNS:localhost\nbasicConstraints=CA:FALSE\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=serverAuth\n',
    ),
    servers.file(''),
    servers.file(''),
  ]);
  await openssl(['req', '-new', '-key', keyFile, '-subj', '/CN=localhost', '-out', request]);
  const by = ['-CA', issuer, '-CAkey', issuerKey, '-CAcreateserial', '-extfile', extensions];
  const { code, output } = await openssl(['x509', '-req', '-sha1', '-days', '30', '-in', request, ...by, '-out', out]);
  if (code !== 0) throw new Error(output);
  return { cert: `${await servers.read(out)}${encodePem('CERTIFICATE', authority.issuing.der)}`, key: keyOf(key) };
}

/** One port for TLS and for HTTP in the clear, told apart by the first octet. */
async function bothWays(servers: TlsServers, credential: Pem): Promise<number> {
  const { curves: ecdhCurve, suites: ciphers } = goodTls;
  const secure = createHttpsServer(
    { ...credential, ecdhCurve, ciphers, secureOptions: constants.SSL_OP_NO_RENEGOTIATION },
    (_, response) => void response.end('ok'),
  );
  const clear = createHttpServer((_, response) => void response.end('ok'));
  secure.on('tlsClientError', () => undefined);
  return servers.byHand((socket: Socket) =>
    socket.once('data', (octets: Buffer) => {
      socket.pause();
      socket.unshift(octets);
      (octets[0] === HANDSHAKE ? secure : clear).emit('connection', socket);
      // TLS reads what was put back by itself.
      if (octets[0] !== HANDSHAKE) process.nextTick(() => socket.resume());
    }),
  );
}

function keyOf(key: { export(options: { type: 'pkcs8'; format: 'pem' }): string | Buffer }): string {
  return key.export({ type: 'pkcs8', format: 'pem' }).toString();
}

const goodTls = {
  curves: 'X25519MLKEM768:X25519:P-256',
  suites: ['TLS_AES_256_GCM_SHA384', 'TLS_AES_128_GCM_SHA256', ...Object.keys(tlsSuites)].join(':'),
};
const targets: { readonly [rule: string]: readonly string[] } = {
  'client-certificate-missing': ['clientCertificate: required'],
  'hsts-missing': ['policy: strict'],
};
const HANDSHAKE = 22;
/** What none of the reports may carry as it is. */
export const HOSTILE_TEXT = '<b>&"\'</b> ]]> \u001b[31m \u0007\u202e{{x}} ${y}';
