import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import { EnvoyBench } from '../../../test/support/envoy-bench.ts';
import { missingEnvoy } from '../../../test/support/envoy-lab.ts';
import { OpenConnection } from '../../../test/support/open-call.ts';
import { callOverTls, clientOptions, inboundTo, loopback, modes, STOREFRONT, STRANGER } from '../../../test/support/proxy-lab.ts';

describe('what Envoy makes of revocation and suspension', { skip: missingEnvoy() }, () => {
  let bench: EnvoyBench;
  before(async () => {
    bench = await EnvoyBench.start();
  });
  after(() => bench[Symbol.asyncDispose]());
  beforeEach(() => bench.revoked.clear());

  const callers = [STOREFRONT, STRANGER].map((spiffeId) => ({ pathId: 'p', spiffeId, mode: modes.enforce }));
  const orders = (mode: 'observe' | 'enforce') =>
    inboundTo(bench.origin.port, mode, { listen: loopback(bench.port), ...(mode === 'enforce' ? { callers } : {}) } as Parameters<
      typeof inboundTo
    >[2]);
  const replacedPorts = async () => {
    const text = await bench.envoy.admin('/stats?filter=listener_manager.listener_(modified|in_place_updated)$');
    const numberOf = (name: string): number => Number(new RegExp(`${name}: (\\d+)`).exec(text)?.[1]);
    return { modified: numberOf('listener_modified'), inPlace: numberOf('listener_in_place_updated') };
  };
  const issue = () => bench.lab.authority.issue({ uris: [STOREFRONT] });

  for (const kind of ['revoked', 'suspended'] as const) {
    it(`refuses whoever is ${kind} at the next call of an open connection, at a resumed and at a new handshake, and nobody else`, async () => {
      await bench.apply({ inbound: [orders('enforce')] });
      const [gone, stays] = [issue(), kind === 'revoked' ? issue() : bench.lab.authority.issue({ uris: [STRANGER] })];
      const first = await callOverTls(bench.port, clientOptions(gone));
      assert.match(first.text, /^HTTP\/1\.1 200 /);
      const again = await callOverTls(bench.port, { ...clientOptions(gone), session: first.session! });
      assert.deepEqual([again.resumed, again.text.startsWith('HTTP/1.1 200 ')], [true, true]);
      using open = (await OpenConnection.overTls(bench.port, clientOptions(gone)))!;
      using other = (await OpenConnection.overTls(bench.port, clientOptions(stays)))!;
      assert.deepEqual([(await open.call()).status, (await other.call()).status], [200, 200]);
      const before = await replacedPorts();

      if (kind === 'revoked') bench.revoked.credentials.push(gone);
      else bench.revoked.suspended.push(STOREFRONT);
      await bench.apply({ inbound: [orders('enforce')] });

      assert.deepEqual([(await open.call()).status, (await other.call()).status], [403, 200]);
      assert.equal((await callOverTls(bench.port, { ...clientOptions(gone), session: first.session! })).text, '');
      assert.equal((await callOverTls(bench.port, clientOptions(gone))).text, '');
      assert.match((await callOverTls(bench.port, clientOptions(stays))).text, /^HTTP\/1\.1 200 /);
      // In place: the port itself goes on.
      assert.deepEqual(await replacedPorts(), { modified: before.modified + 1, inPlace: before.inPlace + 1 });
      await bench.envoy.until(
        () =>
          bench.envoy.entries.some(
            (entry) => 'response' in entry && entry.response?.responseCodeDetails === `rbac_access_denied_matched_policy[${kind}]`,
          ),
        'the refused call is told',
      );
    });
  }

  it('refuses nobody in observe, and tells the service nothing of who is suspended or revoked', async () => {
    await bench.apply({ inbound: [orders('observe')] });
    const caller = issue();
    using open = (await OpenConnection.overTls(bench.port, clientOptions(caller)))!;
    assert.match((await open.call()).text, /URI=/);
    bench.revoked.suspended.push(STOREFRONT);
    bench.revoked.credentials.push(caller);
    await bench.apply({ inbound: [orders('observe')] });
    const told = [await open.call(), { text: (await callOverTls(bench.port, clientOptions(caller))).text, status: 200 }];
    assert.deepEqual(
      told.map(({ status, text }) => [status, /URI=/.test(text)]),
      [
        [200, false],
        [200, false],
      ],
    );
  });

  it('tells the service nothing of a stranger that is suspended, behind an open door', async () => {
    await bench.apply({ inbound: [orders('observe')] });
    const stranger = bench.lab.authority.issue({ uris: [STRANGER] });
    using open = (await OpenConnection.overTls(bench.port, clientOptions(stranger)))!;
    assert.match((await open.call()).text, /URI=/);
    bench.revoked.suspended.push(STRANGER);
    await bench.apply({ inbound: [orders('observe')] });
    const seen = [await open.call(), { status: 200, text: (await callOverTls(bench.port, clientOptions(stranger))).text }];
    assert.deepEqual(
      seen.map(({ status, text }) => [status, text === '', /URI=/.test(text)]),
      [
        [200, false, false],
        [200, false, false],
      ],
    );
  });

  it('takes a connection whose certificate was revoked while it was open for nobody’s behind an open door', async () => {
    await bench.apply({ inbound: [orders('observe')] });
    const [caller, other] = [issue(), issue()];
    using open = (await OpenConnection.overTls(bench.port, clientOptions(caller)))!;
    using stays = (await OpenConnection.overTls(bench.port, clientOptions(other)))!;
    for (const one of [open, stays]) assert.match((await one.call()).text, /URI=/);
    bench.revoked.credentials.push(caller);
    await bench.apply({ inbound: [orders('observe')] });
    const seen = [await open.call(), await stays.call()];
    assert.deepEqual(
      seen.map(({ status, text }) => [status, /URI=/.test(text)]),
      [
        [200, false],
        [200, true],
      ],
    );
  });

  it('takes a good caller up again by its ticket under another certificate of its own', async () => {
    await bench.apply({ inbound: [orders('enforce')] });
    const caller = issue();
    const first = await callOverTls(bench.port, clientOptions(caller));
    const uris = bench.lab.credential.certificate;
    assert.ok(uris);
    bench.envoy.serve(bench.lab.authority.issue({ uris: ['spiffe://acme.example/test/orders'] }));
    await bench.envoy.until(async () => {
      const again = await callOverTls(bench.port, { ...clientOptions(caller), session: first.session! });
      return again.resumed && again.text.startsWith('HTTP/1.1 200 ');
    }, 'it resumes');
  });
});
