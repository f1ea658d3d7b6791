import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:tls';
import { after, before, describe, test } from 'node:test';
import { judgePosture } from '../../src/core/findings/judge-posture.ts';
import { DAY_MS } from '../../src/core/time/instant.ts';
import { parseDnsName } from '../../src/core/identity/dns-name.ts';
import type { Policy } from '../../src/core/policy/policy.ts';
import { groupNamesOf, type ProxyKind } from '../../src/core/render/proxy-program.ts';
import { renderConfiguration, scriptNames } from '../../src/core/render/render-configuration.ts';
import type { RenderOrder } from '../../src/core/render/render-order.ts';
import { scanPosture } from '../../src/dataplane/scanner/scan-posture.ts';
import { examinedPolicy as policy, fileEnds, FORGED, type RenderedPeer } from './rendered-peer.ts';
import { freePort } from './free-port.ts';
import { missing, runProgram } from './peer-program.ts';
import { ask, askHttp2, askInTheClear, examine, isServed, promised, receivedBy, statusOf } from './render-exam.ts';
import { ALLOWED, type LabCredential, orderOf, RenderLab, SERVED, SERVED_TOO } from './render-lab.ts';

/** Renders, has the program examine what was rendered, starts it, and holds what runs against the policy. */
export function examineRendered(peer: RenderedPeer): void {
  describe(`what is rendered for ${peer.kind}`, { skip: missing(peer.program) || missing(peer.needs) }, () => {
    let lab: RenderLab, foreign: RenderLab, good: LabCredential, revoked: LabCredential, server: LabCredential;

    before(async () => {
      [lab, foreign] = [await RenderLab.open(), await RenderLab.open()];
      [good, revoked, server] = [lab.client([ALLOWED]), lab.client([ALLOWED]), lab.server([SERVED, SERVED_TOO])];
    });
    after(async () => {
      await lab[Symbol.asyncDispose]();
      await foreign[Symbol.asyncDispose]();
    });

    async function start(name: string, more: object, change: Parameters<typeof orderOf>[2]): Promise<RenderOrder> {
      const script = scriptNames[peer.kind];
      const words = {
        ...(await lab.words(await freePort(), server)),
        ...(peer.kind === 'node' ? { upstream: undefined } : {}),
        ...(script === null ? {} : { script: `${lab.folder}/${name}-${script}` }),
        ...(peer.kind === 'nginx' ? { log: `${lab.folder}/${name}.log` } : {}),
        ...more,
      };
      const order = orderOf(peer.kind, words, { policy, ...change });
      const file = await lab.write(`${name}.${fileEnds[peer.kind]}`, order, renderConfiguration(order));
      const { code, stdout, stderr } = await runProgram(peer.program, peer.check(file, lab));
      assert.equal(code, 0, stderr);
      assert.doesNotMatch(stdout + stderr, peer.complains);
      await lab.start(peer.program, peer.run(file, lab), order.listen.port);
      return order;
    }

    /** What a scan of it sees, and finds that the policy does not allow. */
    async function scan(port: number, wanted: Policy, clientCertificate: 'required' | 'not-required', caller: LabCredential | null = null) {
      const credential = caller === null ? null : { certificates: caller.certPem, key: caller.keyPem };
      const posture = await scanPosture({ host: '127.0.0.1', port, serverName: SERVED, credential });
      if (posture.kind !== 'tls') assert.fail(JSON.stringify(posture));
      const identity = { kind: 'dns', name: parseDnsName(SERVED) } as const;
      const demands = { policy: wanted, anchors: [lab.root], identity, clientCertificate, expiresWithinMs: 0 };
      const findings = judgePosture(Date.now(), posture, demands).map(({ rule, evidence }) => `${rule}: ${evidence}`);
      return { posture, findings };
    }

    test('enforced mutual TLS agrees with the policy', async (context) => {
      const clear = await freePort();
      const lists = peer.lists === 'none' ? {} : { crl: await lab.file('lists.pem', lab.lists([revoked], peer.lists)), crlOf: peer.lists };
      const staple = peer.staples ? { staple: await lab.file('server.pem.ocsp', lab.staple(server)) } : {};
      const { port } = (await start('enforced', { plainListen: `127.0.0.1:${clear}`, ...lists, ...staple }, {})).listen;

      await context.test('by handshakes and calls that must pass and must not', async () => {
        assert.deepEqual(await examine({ lab, port, good, revoked, foreign }), promised(peer.unproved, peer.exam));
      });
      await context.test('by the scan of our own scanner, in front of it and with a certificate', async () => {
        assert.deepEqual((await scan(port, policy, 'required')).findings, peer.findings);
        const { findings, posture } = await scan(port, policy, 'required', good);
        assert.deepEqual(findings, peer.findings);
        assert.deepEqual(posture.resumes, { tls13: false, tls12: false });
      });
      await context.test('tells the service who called, and nothing that a caller wrote', async () => {
        const { headers } = receivedBy(await ask(lab, port, { caller: good, head: FORGED }));
        assert.match(headers['x-forwarded-client-cert']!, new RegExp(`^Hash=[0-9a-f]{64};URI=${ALLOWED}$`));
        const certificate = `:${Buffer.from(good.certificate.der).toString('base64')}:`;
        assert.equal(headers['client-cert'], peer.toldCertificate ? certificate : undefined);
        for (const name of ['client-cert-chain', 'client_cert', 'x_forwarded_client_cert', 'forwarded'])
          assert.equal(headers[name], undefined, name);
        const isProxy = peer.kind !== 'node';
        assert.equal(headers['x-forwarded-for'], isProxy ? '127.0.0.1' : undefined);
        assert.equal(headers['x-forwarded-proto'], isProxy ? 'https' : undefined);
      });
      if (peer.kind !== 'node')
        await context.test('over HTTP/2 too', async () => {
          const { status, body } = await askHttp2(lab, port, {
            caller: good,
            head: { 'client-cert': ':Zm9yZ2Vk:', client_cert: 'x', 'x-forwarded-client-cert': 'URI=x' },
          });
          assert.equal(status, 200);
          const { headers } = JSON.parse(body) as { headers: { readonly [name: string]: string } };
          assert.match(headers['x-forwarded-client-cert']!, new RegExp(`^Hash=[0-9a-f]{64};URI=${ALLOWED}$`));
          assert.notEqual(headers['client-cert'], ':Zm9yZ2Vk:');
          assert.equal(headers['client_cert'], undefined);
          assert.equal((await askHttp2(lab, port, { caller: good, authority: 'other.acme.example' })).status, 421);
          assert.equal((await askHttp2(lab, port, { caller: lab.client(['spiffe://acme.example/production/stranger']) })).status, 403);
        });
      await context.test('has HSTS in answers on TLS alone', async () => {
        const got = await ask(lab, port, { caller: good });
        assert.ok(got.kind === 'answer');
        assert.equal(got.fields.get('strict-transport-security'), 'max-age=31536000; includeSubDomains');
        assert.equal(got.fields.get('x-content-type-options'), 'nosniff');
        assert.equal(got.fields.get('server'), peer.serverField);
        const inTheClear = await askInTheClear(clear);
        assert.match(inTheClear, new RegExp(`^HTTP/1.1 308 [^]*location: https://${SERVED}:${port}/a\\?b=c\r`, 'i'));
        assert.doesNotMatch(inTheClear, /strict-transport/i);
        assert.match(await askInTheClear(clear, 'evil.example'), /^HTTP\/1.1 421 /);
      });
      if (peer.staples)
        await context.test('staples what the authority says of its certificate', async () => {
          const socket = connect({
            host: '127.0.0.1',
            port,
            servername: SERVED,
            ca: lab.rootPem,
            cert: good.certPem,
            key: good.keyPem,
            requestOCSP: true,
          });
          const [response] = (await once(socket, 'OCSPResponse')) as [Buffer | null];
          socket.destroy();
          assert.notEqual(response, null);
          assert.equal(response!.length > 100, true);
        });
      await context.test('refuses a body that is too long', async () => {
        assert.equal(statusOf(await ask(lab, port, { caller: good, body: 'x'.repeat(1_001) })), 413);
        assert.equal(receivedBy(await ask(lab, port, { caller: good, body: 'x'.repeat(1_000) })).octets, 1_000);
        if (peer.countsChunks) assert.equal(statusOf(await ask(lab, port, { caller: good, body: 'x'.repeat(1_001), chunked: true })), 413);
      });
    });

    if (peer.lists !== 'none')
      test('a list that is missing, past its end or of others lets nobody in', async () => {
        const of = peer.lists as 'leaf' | 'path';
        const [mine, others] = ['http://lists.example/1.crl', 'http://lists.example/2.crl'];
        const [named, namedRevoked, elsewhere] = [mine, mine, others].map((crlUri) => lab.client([ALLOWED], { crlUri })) as [
          LabCredential,
          LabCredential,
          LabCredential,
        ];
        const kinds = {
          path: { list: lab.lists([revoked], 'path'), crlOf: 'path', callers: [[good, true]] },
          ended: { list: lab.lists([], of, { life: [-2 * DAY_MS, -DAY_MS] }), crlOf: of, callers: [[good, false]] },
          forged: { list: lab.lists([], of, { forged: true }), crlOf: of, callers: [[good, false]] },
          // Of an authority that parts its list, the part that a certificate names.
          part: {
            list: lab.lists([namedRevoked], of, { point: mine }),
            crlOf: of,
            callers: [
              [named, true],
              [namedRevoked, false],
              [elsewhere, false],
              [good, false],
            ],
          },
        } as const;
        for (const [name, { list, crlOf, callers }] of Object.entries(kinds)) {
          const { listen } = await start(name, { crl: await lab.file(`${name}.crl`, list), crlOf }, {});
          for (const [at, [caller, isLetIn]] of callers.entries()) {
            assert.equal(isServed(await ask(lab, listen.port, { caller })), isLetIn, `${name} ${at}`);
          }
        }
      });

    test('a strict policy without client certificates, before a service that proves its name', async () => {
      const onlyHybrid = groupNamesOf(orderOf(peer.kind, await wordsFor(lab, peer.kind, server)).program).has('X25519MLKEM768');
      const strict: Policy = {
        ...policy,
        tls: { ...policy.tls, minimumVersion: '1.3', groups: onlyHybrid ? ['X25519MLKEM768'] : ['P-384'] },
        http: { ...policy.http, hostMatchesSni: true },
      };
      const upstream = await lab.serveTls('service.acme.example');
      const plain = { clientTrust: undefined, names: `${SERVED},${SERVED_TOO}` };
      const order = await start(
        'strict',
        { ...plain, ...(peer.kind === 'node' ? {} : upstream) },
        { policy: strict, callers: 'anonymous' },
      );
      const { port } = order.listen;
      const [group, other] = onlyHybrid ? ['X25519MLKEM768', 'X25519'] : ['P-384', 'X25519'];

      assert.equal(isServed(await ask(lab, port, {})), true);
      assert.deepEqual((await scan(port, strict, 'not-required')).findings, []);
      const got = receivedBy(await ask(lab, port, { tls: { ecdhCurve: group }, head: FORGED }));
      for (const name of ['client-cert', 'client-cert-chain', 'x-forwarded-client-cert']) assert.equal(got.headers[name], undefined, name);
      assert.equal(statusOf(await ask(lab, port, { tls: { ecdhCurve: other } })), 'closed');
      assert.equal(statusOf(await ask(lab, port, { tls: { maxVersion: 'TLSv1.2' } })), 'closed');
      assert.equal(isServed(await ask(lab, port, { host: SERVED_TOO, tls: { servername: SERVED_TOO } })), true);
      assert.equal(statusOf(await ask(lab, port, { host: SERVED_TOO })), 421);
      if (peer.kind === 'node') return;
      const wrong = await start(
        'misnamed',
        { ...plain, ...upstream, upstreamName: 'other.acme.example' },
        { policy: strict, callers: 'anonymous' },
      );
      assert.match(String(statusOf(await ask(lab, wrong.listen.port, {}))), /^50[23]$/);
    });

    test('all that can be said at once is taken by its own examination, and rates are kept', async () => {
      const own = {
        upstreamCertificate: await lab.file('own.pem', server.certPem),
        upstreamKey: await lab.file('own.pem.key', server.keyPem),
      };
      const long = Array.from(
        { length: 3 },
        (_, at) => `${at}${'a'.repeat(60)}.${'b'.repeat(61)}.${'c'.repeat(61)}.${'d'.repeat(59)}.example`,
      );
      const rates = { caller: { perSecond: 1, burst: 2 }, endpoint: { perSecond: 1, burst: 5 } };
      const other = 'spiffe://acme.example/production/other';
      const more = {
        ...(peer.kind === 'node' ? {} : { ...(await lab.serveTls('service.acme.example')), ...own }),
        names: [SERVED, ...long].join(','),
      };
      const limited: Policy = { ...policy, http: { ...policy.http, rates, identityFields: [], hostMatchesSni: true } };
      const { port } = (await start('limited', more, { policy: limited, callers: [ALLOWED, other] })).listen;
      const first = await ask(lab, port, { caller: good });
      assert.equal(receivedBy(first).headers['x-forwarded-client-cert'], undefined);
      assert.equal(receivedBy(first).headers['client-cert'], undefined);
      if (peer.rates === 'none') return;
      const served = async (caller: LabCredential): Promise<number> => {
        const got = await Promise.all(Array.from({ length: 8 }, () => ask(lab, port, { caller })));
        for (const answer of got) assert.match(String(statusOf(answer)), /^(?:200|429)$/);
        return got.filter(isServed).length;
      };
      const [mine, others] = [1 + (await served(good)), await served(lab.client([other]))];
      // A token may have come back while they ran.
      assert.ok(mine >= (peer.rates === 'caller' ? 2 : 5) && mine < 8, `${mine}`);
      assert.ok(mine + others >= (peer.rates === 'caller' ? 4 : 5) && mine + others < 12, `${mine} and ${others}`);
    });

    test('listens at addresses of IPv6, as its own examination says', async () => {
      const words = {
        ...(await wordsFor(lab, peer.kind, server)),
        listen: `[::1]:${await freePort()}`,
        plainListen: `[::1]:${await freePort()}`,
        ...(peer.kind === 'nginx' ? { log: `${lab.folder}/six.log` } : {}),
        ...(scriptNames[peer.kind] === null ? {} : { script: `${lab.folder}/six-script` }),
      };
      const order = orderOf(peer.kind, words, { policy });
      const { code, stderr } = await runProgram(
        peer.program,
        peer.check(await lab.write(`six.${fileEnds[peer.kind]}`, order, renderConfiguration(order)), lab),
      );
      assert.equal(code, 0, stderr);
    });

    test('observed, nobody is refused for a certificate, and nothing is told that was not proved', async () => {
      const clear = await freePort();
      const lists =
        peer.lists === 'none' ? {} : { crl: await lab.file('observed-lists.pem', lab.lists([revoked], peer.lists)), crlOf: peer.lists };
      const { listen } = await start('observed', { plainListen: `127.0.0.1:${clear}`, ...lists }, { mode: 'observe' });
      assert.equal(isServed(await ask(lab, listen.port, { caller: null })), true);
      assert.equal(isServed(await ask(lab, listen.port, { caller: lab.client(['spiffe://acme.example/production/stranger']) })), true);
      const stranger = receivedBy(await ask(lab, listen.port, { caller: foreign.client([ALLOWED]), head: FORGED })).headers;
      assert.deepEqual([stranger['x-forwarded-client-cert'], stranger['client-cert']], [undefined, undefined]);
      const { headers } = receivedBy(await ask(lab, listen.port, { caller: revoked, head: FORGED }));
      assert.deepEqual([headers['x-forwarded-client-cert'], headers['client-cert']], [undefined, undefined]);
      const proved = receivedBy(await ask(lab, listen.port, { caller: good })).headers['x-forwarded-client-cert'];
      assert.equal(proved !== undefined, peer.observed.toldWhenProved);
      assert.match(await askInTheClear(clear), /"served":true/);
    });
  });
}

async function wordsFor(lab: RenderLab, kind: ProxyKind, server: LabCredential) {
  return { ...(await lab.words(1, server)), ...(kind === 'node' ? { upstream: undefined } : {}), script: '/a' };
}
