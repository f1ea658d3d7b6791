import assert from 'node:assert/strict';
import { constants, generateKeyPairSync, X509Certificate } from 'node:crypto';
import { createServer } from 'node:https';
import type { Socket } from 'node:net';
import { after, describe, test } from 'node:test';
import { missing } from '../../../test/support/peer-program.ts';
import { inboundTo, ORDERS, ProxyLab } from '../../../test/support/proxy-lab.ts';
import { pemOf, TlsServers } from '../../../test/support/tls-servers.ts';
import { certificateMessage, handshakeRecord, serverHelloDone } from '../../../test/support/tls-flight.ts';
import type { PostureDemands } from '../../core/findings/posture-demands.ts';
import { judgePosture } from '../../core/findings/judge-posture.ts';
import type { Posture, TlsPosture } from '../../core/findings/posture.ts';
import { parseDnsName } from '../../core/identity/dns-name.ts';
import { defaultPolicy, parsePolicy, type Policy } from '../../core/policy/policy.ts';
import { tlsSuites } from '../../core/policy/tls-parameters.ts';
import { DAY_MS } from '../../core/time/instant.ts';
import { cipherSuiteName } from '../../core/tls/cipher-suite-registry.ts';
import { namedGroupName } from '../../core/tls/named-group.ts';
import { signatureSchemeName } from '../../core/tls/signature-scheme.ts';
import { scanPosture, type ScanTarget } from './scan-posture.ts';

const servers = await TlsServers.open();
after(() => servers[Symbol.asyncDispose]());

async function scan(port: number, more: Partial<ScanTarget> = {}): Promise<Posture> {
  return scanPosture({ host: '127.0.0.1', port, serverName: 'localhost', ...more });
}

async function scanTls(port: number, more: Partial<ScanTarget> = {}): Promise<TlsPosture> {
  const posture = await scan(port, more);
  if (posture.kind !== 'tls') assert.fail(`${posture.kind}: ${JSON.stringify(posture)}`);
  return posture;
}

function rulesOf(posture: Posture, demands: Partial<PostureDemands> = {}): readonly string[] {
  assert.notEqual(posture.kind, 'unreachable');
  const findings = judgePosture(Date.now(), posture as Exclude<Posture, { kind: 'unreachable' }>, {
    policy: defaultPolicy,
    anchors: [servers.authority.root],
    identity: { kind: 'dns', name: parseDnsName('localhost') },
    clientCertificate: null,
    expiresWithinMs: null,
    ...demands,
  });
  return [...new Set(findings.map(({ rule }) => rule))].toSorted();
}

const suitesOf = (posture: TlsPosture): string[] => posture.olderSuites.map(cipherSuiteName);
const groupsOf = (groups: readonly number[]): string[] => groups.map(namedGroupName);
const policyTls = {
  minVersion: 'TLSv1.2',
  maxVersion: 'TLSv1.3',
  ciphers: ['TLS_AES_256_GCM_SHA384', 'TLS_AES_128_GCM_SHA256', ...Object.keys(tlsSuites)].join(':'),
  ecdhCurve: defaultPolicy.tls.groups.join(':'),
  secureOptions: constants.SSL_OP_NO_RENEGOTIATION,
} as const;

describe('scanPosture()', () => {
  test('sees of a server under the default policy exactly that, and nothing is found', async () => {
    const posture = await scanTls(await servers.node(policyTls));
    assert.deepEqual(posture.versions, ['1.2', '1.3']);
    assert.deepEqual(suitesOf(posture).toSorted(), [
      'TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256',
      'TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384',
      'TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256',
    ]);
    assert.deepEqual(posture.tls13Suites.map(cipherSuiteName).toSorted(), ['TLS_AES_128_GCM_SHA256', 'TLS_AES_256_GCM_SHA384']);
    assert.deepEqual(groupsOf(posture.groups.tls13), ['X25519MLKEM768', 'X25519', 'P-256']);
    assert.deepEqual(groupsOf(posture.groups.older), ['X25519', 'P-256']);
    assert.deepEqual(posture.schemes.tls13.map(signatureSchemeName), ['ecdsa_secp256r1_sha256']);
    assert.deepEqual(posture.protocols, ['http/1.1']);
    assert.equal(posture.clientCertificate.kind, 'none');
    assert.deepEqual(posture.resumes, { tls13: true, tls12: true });
    assert.equal(posture.chains.length, 1);
    assert.equal(posture.chains[0]!.certificates.length, 2);
    assert.match(posture.http!.statusLine, /^HTTP\/1.1 200/);
    assert.deepEqual([posture.compresses, posture.renegotiatesSecurely, posture.earlyDataOctets], [false, true, 0]);
    assert.deepEqual(posture.gaps, []);
    assert.ok(posture.connections < 70, `${posture.connections} connections`);
    assert.deepEqual(rulesOf(posture), []);
  });

  test('agrees with the policy of our own gateway, in enforce', async () => {
    await using lab = new ProxyLab(ORDERS);
    const origin = await lab.origin();
    await lab.apply({ inbound: [inboundTo(origin.port, 'enforce')] });
    const posture = await scanTls(lab.portOf(0), { serverName: null });
    assert.equal(posture.clientCertificate.kind, 'required');
    assert.deepEqual(groupsOf(posture.groups.tls13), defaultPolicy.tls.groups);
    const demands = { anchors: [lab.authority.root], identity: { kind: 'uri', uri: ORDERS }, clientCertificate: 'required' } as const;
    assert.deepEqual(rulesOf(posture, demands), []);
    assert.equal(origin.octets, 0, 'nothing reached the service');
  });

  test('sees that our own gateway lets plaintext and strangers in while it is permissive', async () => {
    await using lab = new ProxyLab(ORDERS);
    const origin = await lab.origin();
    await lab.apply({ inbound: [inboundTo(origin.port, 'permissive')] });
    const posture = await scanTls(lab.portOf(0), { serverName: null });
    const demands = { anchors: [lab.authority.root], identity: { kind: 'uri', uri: ORDERS }, clientCertificate: 'required' } as const;
    assert.deepEqual(rulesOf(posture, demands), ['client-certificate-missing', 'plaintext', 'version-obsolete']);
  });

  for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
    test(`tells no, optional and required client certificates apart, ${version}`, async () => {
      const only = { minVersion: version, maxVersion: version } as const;
      const kinds = await Promise.all(
        [{}, { requestCert: true, rejectUnauthorized: false }, { requestCert: true, rejectUnauthorized: true }].map(async (client) => {
          return (await scanTls(await servers.node({ ...only, ...client }))).clientCertificate.kind;
        }),
      );
      assert.deepEqual(kinds, ['none', 'optional', 'required']);
    });
  }

  test('with a client certificate sees what only its bearers see', async () => {
    const ca = new X509Certificate(servers.authority.root.der).toString();
    const port = await servers.node({ requestCert: true, rejectUnauthorized: true, ca }, (_, response) =>
      response.setHeader('strict-transport-security', 'max-age=5').end(),
    );
    const { cert, key } = pemOf(servers.credential({ usages: ['client'] }));
    const policy = withHttp({ hsts: { maxAgeSeconds: 5 } });
    const [without, withOne] = [await scanTls(port), await scanTls(port, { credential: { certificates: cert, key } })];
    assert.deepEqual([without.clientCertificate.kind, without.http, without.resumes.tls13], ['required', null, null]);
    assert.equal(withOne.clientCertificate.kind, 'required');
    assert.equal(withOne.http?.fields.get('strict-transport-security'), 'max-age=5');
    assert.deepEqual(rulesOf(withOne, { policy }).includes('hsts-missing'), false);
  });

  test('tells an address where nobody listens from one that speaks no TLS, that is silent, and that speaks in the clear', async () => {
    assert.deepEqual(await scan(1), { kind: 'unreachable', because: 'ECONNREFUSED' });
    const limits = { connections: 20, atOnce: 4, timeoutMs: 200, deadlineMs: 2_000 };
    const silent = await scan(await servers.byHand(() => undefined), { limits });
    assert.deepEqual(silent, { kind: 'unreachable', because: 'no answer in time' });
    const garbage = await scan(await servers.byHand((socket) => void socket.end('220 mail.test ESMTP\r\n')));
    assert.deepEqual(garbage, { kind: 'no-tls', plaintext: null });
    const clear = await scan(await servers.byHand((socket) => void socket.once('data', () => socket.end('HTTP/1.1 200 OK\r\n\r\n'))));
    assert.deepEqual(clear, { kind: 'no-tls', plaintext: { statusLine: 'HTTP/1.1 200 OK', location: null } });
    assert.deepEqual(rulesOf(clear), ['no-tls']);
    assert.deepEqual(await scan(await servers.byHand(patient), { limits }), clear, 'one that waits for the end of a hello');
  });

  test('a server that answers what was not asked is neither followed nor asked for ever', async () => {
    let connections = 0;
    const port = await servers.byHand((socket) => {
      connections++;
      socket.once('data', () => socket.end(handshakeRecord(madeHello(0x0303, 0x0a0a), certificateMessage(Buffer.of(1)), serverHelloDone)));
    });
    const posture = await scanTls(port);
    assert.ok(connections < 60, `${connections} connections`);
    assert.deepEqual([posture.versions, posture.olderSuites], [['1.2'], []]);
    assert.ok(rulesOf(posture).includes('certificate-malformed'));
  });

  test('a server that floods, dribbles or breaks off is borne, and none is waited for beyond the bounds', async () => {
    const limits = { connections: 100, atOnce: 4, timeoutMs: 500, deadlineMs: 2_000 };
    const hello = handshakeRecord(madeHello(0x0303, 0xc02b));
    const hostile: { readonly [name: string]: (socket: Socket) => void } = {
      'octets without end': (socket) => flood(socket, Buffer.alloc(65_536, 0x41)),
      'records without end': (socket) => flood(socket, handshakeRecord(Buffer.alloc(16_000))),
      'warnings without end': (socket) => flood(socket, Buffer.from('1503030002015a', 'hex')),
      'certificates without end': (socket) => (
        socket.write(hello),
        flood(socket, handshakeRecord(Buffer.concat([Buffer.of(11, 255, 255, 255)])))
      ),
      'an octet at a time': (socket) => dribble(socket, hello),
      'half a record': (socket) => void socket.once('data', () => socket.end(hello.subarray(0, 20))),
      'a reset': (socket) => void socket.once('data', () => socket.resetAndDestroy()),
      'a head of HTTP without end': (socket) => flood(socket, Buffer.from('HTTP/1.1 200 OK\r\nx: y\r\n')),
    };
    const seen = [];
    for (const [name, serve] of Object.entries(hostile))
      seen.push([name, (await scan(await servers.byHand(serve), { limits })).kind] as const);
    assert.deepEqual(Object.fromEntries(seen), {
      'octets without end': 'no-tls',
      'records without end': 'no-tls',
      'warnings without end': 'no-tls',
      'certificates without end': 'tls',
      'an octet at a time': 'unreachable',
      'half a record': 'no-tls',
      'a reset': 'no-tls',
      'a head of HTTP without end': 'no-tls',
    });
  });

  test('stays within its bounds, and says what it could not ask', async () => {
    const limits = { connections: 12, atOnce: 2, timeoutMs: 5_000, deadlineMs: 10_000 };
    const posture = await scanTls(await servers.node(policyTls), { limits });
    assert.equal(posture.connections, 12);
    assert.ok(
      posture.gaps.some((gap) => gap.endsWith('beyond the bounds of the scan')),
      posture.gaps.join(),
    );
  });

  test('finds SSL 3.0, compression and renegotiation of old, which no library here speaks any more', async () => {
    const old = await scanTls(await servers.byHand(serve(asked(0x0300, 0))));
    assert.deepEqual(old.versions, ['SSL 3.0']);
    assert.ok(rulesOf(old).includes('version-obsolete'));
    const [compressed, plain] = [
      await scanTls(await servers.byHand(serve(asked(0x0303, 1)))),
      await scanTls(await servers.byHand(serve(asked(0x0303, 0)))),
    ];
    assert.deepEqual([compressed.compresses, plain.compresses], [true, false]);
    assert.equal(plain.renegotiatesSecurely, false);
    assert.ok(rulesOf(compressed).includes('compression') && rulesOf(plain).includes('renegotiation-insecure'));
    assert.ok(!rulesOf(plain).includes('compression'));
  });

  test('a server of TLS 1.3 that refuses hellos without a key share is asked with one', async () => {
    const EMPTY_SHARES = Buffer.from('003300020000', 'hex');
    // ServerHello of TLS 1.3 with TLS_AES_128_GCM_SHA256 and a share of X25519, for whoever offers both.
    const extensions = Buffer.from(`002e002b00020304003300240 01d0020${'09'.repeat(32)}`.replace(' ', ''), 'hex');
    const body = Buffer.concat([Buffer.of(3, 3), Buffer.alloc(32), Buffer.from('00130100', 'hex'), extensions]);
    const hello = handshakeRecord(Buffer.concat([Buffer.of(2, 0, 0, body.length), body]));
    const refusal = Buffer.from('15030300020228', 'hex');
    const port = await servers.byHand(
      serve((octets) => {
        const offers = octets.includes(Buffer.from('002b0003020304', 'hex')) && octets.includes(Buffer.from('1301', 'hex'));
        return offers && octets.includes(Buffer.from('001d0020', 'hex')) && !octets.includes(EMPTY_SHARES) ? hello : refusal;
      }),
    );
    const posture = await scanTls(port);
    assert.deepEqual([posture.versions, posture.tls13Suites, posture.groups.tls13], [['1.3'], [0x1301], [0x001d]]);
  });

  test('sees groups after quantum computers, and that they are missing', async () => {
    const posture = await scanTls(await servers.node({ ...policyTls, ecdhCurve: 'X25519:P-521' }));
    assert.deepEqual(groupsOf(posture.groups.tls13), ['X25519', 'P-521']);
    assert.deepEqual(rulesOf(posture), ['group-not-allowed', 'post-quantum-missing']);
    const hybrid = await scanTls(await servers.node({ ...policyTls, minVersion: 'TLSv1.3', ecdhCurve: 'SecP384r1MLKEM1024' }));
    assert.deepEqual(groupsOf(hybrid.groups.tls13), ['SecP384r1MLKEM1024']);
    assert.deepEqual(hybrid.schemes.tls13.map(signatureSchemeName), ['ecdsa_secp256r1_sha256']);
  });

  for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
    test(`of a server with certificates of two kinds sees both, ${maxVersion}`, async () => {
      const rsa = generateKeyPairSync('rsa', { modulusLength: 2_048 });
      const old = { publicKey: rsa.publicKey, notBefore: Date.now() - 2 * DAY_MS, notAfter: Date.now() - DAY_MS };
      const both = [pemOf(servers.credential()), pemOf({ ...servers.credential(old), key: rsa.privateKey })];
      const pair = { cert: both.map(({ cert }) => cert), key: both.map(({ key }) => key) };
      const posture = await scanTls(await servers.node({ ...policyTls, ...pair, maxVersion }));
      assert.equal(posture.chains.length, 2);
      assert.deepEqual(rulesOf(posture), maxVersion === 'TLSv1.2' ? ['certificate-expired', 'version-missing'] : ['certificate-expired']);
    });
  }

  test('sees whether a client of TLS 1.2 can renegotiate', async () => {
    const seen = await Promise.all(
      [policyTls, { ...policyTls, secureOptions: 0 }, { ...policyTls, minVersion: 'TLSv1.3' as const }].map(
        async (options) => (await scanTls(await servers.node(options))).renegotiatesForClients,
      ),
    );
    assert.deepEqual(seen, [false, true, null]);
  });

  test('sees an answer that is stapled, by version', async () => {
    const credential = servers.credential();
    const staple = servers.authority.answerAbout(credential.certificate);
    for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
      const server = createServer({ ...pemOf(credential), maxVersion }, (_, response) => response.end());
      server.on('OCSPRequest', (_certificate: Buffer, _issuer: Buffer, callback: (error: null, response: Buffer) => void) =>
        callback(null, Buffer.from(staple)),
      );
      const posture = await scanTls(await servers.listen(server));
      assert.deepEqual(Buffer.from(posture.chains[0]!.staple ?? []), Buffer.from(staple), maxVersion);
      assert.ok(!rulesOf(posture).some((rule) => rule.startsWith('staple')));
    }
  });
});

function withHttp(http: object): Policy {
  return parsePolicy({ http });
}

/** An answer to a hello of this version, and an alert to all others. */
function asked(version: number, compression: number): (octets: Buffer) => Buffer {
  return (octets) =>
    octets.readUInt16BE(9) === version ? handshakeRecord(madeHello(version, 0xc02b, compression)) : Buffer.from('15030300020228', 'hex');
}

function serve(answer: (octets: Buffer) => Buffer): (socket: Socket) => void {
  return (socket) => void socket.once('data', (octets: Buffer) => socket.end(answer(octets)));
}

/** Waits for ever for the end of whatever is no GET. */
function patient(socket: Socket): void {
  socket.once('data', (octets: Buffer) => {
    if (octets[0] === 'G'.charCodeAt(0)) socket.end('HTTP/1.1 200 OK\r\n\r\n');
  });
}

/** A megabyte of it, which is more than anybody should read, and no end. */
function flood(socket: Socket, octets: Buffer): void {
  socket.resume();
  socket.write(Buffer.alloc(1_048_576, octets));
}

/** So slowly that no bound of the scan is met. */
function dribble(socket: Socket, octets: Buffer): void {
  let at = 0;
  const timer = setInterval(() => (at < octets.length ? socket.write(octets.subarray(at, ++at)) : clearInterval(timer)), 100);
  socket.resume().on('close', () => clearInterval(timer));
}

/** A ServerHello by hand, without extensions. */
function madeHello(version: number, suite: number, compression = 0): Buffer {
  const body = Buffer.concat([
    Buffer.of(version >> 8, version & 255),
    Buffer.alloc(32),
    Buffer.of(0, suite >> 8, suite & 255, compression),
  ]);
  return Buffer.concat([Buffer.of(2, 0, 0, body.length), body]);
}

describe('scanPosture() of OpenSSL', { skip: missing('openssl') }, () => {
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const withRsa = pemOf({ ...servers.credential({ publicKey: rsa.publicKey }), key: rsa.privateKey });
  const weakest = ['-cipher', 'ALL:COMPLEMENTOFALL:@SECLEVEL=0'];

  test('old versions, broken and dated suites, SHA-1 and any group are found', async () => {
    const port = await servers.openssl(withRsa, [...weakest, '-sigalgs', 'RSA+SHA1:RSA-PSS+SHA256:RSA+SHA256', '-www']);
    const posture = await scanTls(port);
    assert.deepEqual(posture.versions, ['1.0', '1.1', '1.2', '1.3']);
    assert.ok(suitesOf(posture).includes('TLS_DH_anon_WITH_AES_256_GCM_SHA384') && suitesOf(posture).includes('TLS_RSA_WITH_NULL_SHA256'));
    assert.ok(suitesOf(posture).length > 40, suitesOf(posture).join());
    assert.equal(posture.serverOrders, false);
    assert.ok(groupsOf(posture.groups.tls13).includes('ffdhe8192'));
    assert.ok(posture.primeBits !== null && posture.primeBits >= 1_024);
    assert.ok(posture.schemes.tls12.map(signatureSchemeName).includes('rsa_pkcs1_sha1'));
    const rules = rulesOf(posture);
    for (const rule of [
      'version-obsolete',
      'suite-broken',
      'suite-dated',
      'suite-not-allowed',
      'suite-order',
      'group-not-allowed',
      'scheme-weak',
    ])
      assert.ok(rules.includes(rule), `${rule} is not among ${rules.join()}`);
    assert.deepEqual(posture.gaps, []);
  });

  test('tickets, early data and the keys of both kinds of a server are seen', async () => {
    const ec = pemOf(servers.credential());
    const both = ['-dcert', await servers.file(ec.cert), '-dcert_chain', await servers.file(ec.cert), '-dkey', await servers.file(ec.key)];
    // It serves one connection after the other, and answers none of them.
    const limits = { connections: 200, atOnce: 1, timeoutMs: 500, deadlineMs: 30_000 };
    const early = await scanTls(await servers.openssl(withRsa, ['-early_data', '-max_early_data', '16000', ...both]), { limits });
    assert.equal(early.earlyDataOctets, 16_000);
    assert.ok(rulesOf(early).includes('early-data'));
    const schemes = early.schemes.tls13.map(signatureSchemeName);
    assert.ok(schemes.includes('ecdsa_secp256r1_sha256') && schemes.includes('rsa_pss_rsae_sha256'), schemes.join());
    const without = await scanTls(await servers.openssl(withRsa, ['-www', '-num_tickets', '0', '-no_ticket', '-no_cache']));
    assert.equal(without.earlyDataOctets, 0);
    assert.deepEqual(without.resumes, { tls13: false, tls12: false });
  });
});

const hardened = [
  'ssl_protocols TLSv1.2 TLSv1.3; ssl_ciphers ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384;',
  'ssl_ecdh_curve X25519:prime256v1; ssl_prefer_server_ciphers on; add_header Strict-Transport-Security "max-age=31536000" always;',
].join(' ');

describe('scanPosture() of nginx', { skip: missing('nginx') }, () => {
  const policy = parsePolicy({ tls: { groups: ['X25519', 'P-256'] }, http: { hsts: { maxAgeSeconds: 31_536_000 } } });

  test('hardened, nothing is found; with an option left out, what it was for', async () => {
    assert.deepEqual(rulesOf(await scan(await servers.nginx(hardened)), { policy }), []);
    const bare = rulesOf(await scan(await servers.nginx('ssl_ciphers ALL:@SECLEVEL=0; ssl_protocols TLSv1 TLSv1.1 TLSv1.2 TLSv1.3;')), {
      policy,
    });
    for (const rule of ['version-obsolete', 'suite-dated', 'suite-order', 'hsts-missing', 'group-not-allowed'])
      assert.ok(bare.includes(rule as never), `${rule} is not among ${bare.join()}`);
  });

  test("the server's order of suites is told from the client's", async () => {
    const suites = 'ssl_protocols TLSv1.2; ssl_ciphers ECDHE-RSA-AES256-GCM-SHA384:ECDHE-RSA-AES128-GCM-SHA256:AES128-SHA;';
    const key = generateKeyPairSync('rsa', { modulusLength: 2_048 });
    const withRsa = pemOf({ ...servers.credential({ publicKey: key.publicKey }), key: key.privateKey });
    assert.equal((await scanTls(await servers.nginx(suites, withRsa))).serverOrders, false);
    const ordered = await scanTls(await servers.nginx(`${suites} ssl_prefer_server_ciphers on;`, withRsa));
    assert.equal(ordered.serverOrders, true);
    assert.equal(suitesOf(ordered)[0], 'TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384');
  });

  test('a client certificate that only the call is refused for counts as required, an optional one does not', async () => {
    const ca = await servers.file(new X509Certificate(servers.authority.root.der).toString());
    const client = `${hardened} ssl_client_certificate ${ca}; ssl_verify_depth 3; ssl_verify_client`;
    const required = await scanTls(await servers.nginx(`${client} on;`));
    assert.equal(required.clientCertificate.kind, 'required', required.clientCertificate.evidence);
    assert.equal((await scanTls(await servers.nginx(`${client} optional;`))).clientCertificate.kind, 'optional');
    assert.deepEqual(rulesOf(required, { policy: parsePolicy({ tls: policy.tls }), clientCertificate: 'required' }), []);
  });
});

describe('scanPosture() of HAProxy', { skip: missing('haproxy') }, () => {
  test('hardened, nothing is found; with old versions, they are', async () => {
    const suites = 'ciphers ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384 curves X25519:P-256';
    const policy = parsePolicy({ tls: { groups: ['X25519', 'P-256'] } });
    assert.deepEqual(rulesOf(await scan(await servers.haproxy(`ssl-min-ver TLSv1.2 ${suites}`)), { policy }), []);
    const old = await scan(await servers.haproxy('ssl-min-ver TLSv1.0 ciphers ALL:@SECLEVEL=0'));
    assert.ok(rulesOf(old, { policy }).includes('version-obsolete'));
  });
});
