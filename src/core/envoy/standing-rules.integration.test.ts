import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, beforeEach, describe, it } from 'node:test';
import { EnvoyBench } from '../../../test/support/envoy-bench.ts';
import { missingEnvoy } from '../../../test/support/envoy-lab.ts';
import { OpenConnection } from '../../../test/support/open-call.ts';
import { callOverTls, clientOptions, inboundTo, loopback, modes, requestText, STOREFRONT } from '../../../test/support/proxy-lab.ts';
import type { TestCredential } from '../../../test/support/test-authority.ts';
import { preflight } from './preflight.ts';

describe('rules for certificates that were good when their connection began', { skip: missingEnvoy() }, () => {
  let bench: EnvoyBench;
  before(async () => {
    bench = await EnvoyBench.start();
  });
  after(() => bench[Symbol.asyncDispose]());
  beforeEach(() => bench.revoked.clear());

  const callers = [{ pathId: 'p', spiffeId: STOREFRONT, mode: modes.enforce }];
  const orders = (mode: 'observe' | 'enforce') =>
    inboundTo(bench.origin.port, mode, { listen: loopback(bench.port), ...(mode === 'enforce' ? { callers } : {}) } as Parameters<
      typeof inboundTo
    >[2]);
  const issue = (more: { readonly notAfter?: number } = {}) => bench.lab.authority.issue({ uris: [STOREFRONT], ...more });
  const openBy = async (credential: TestCredential) => (await OpenConnection.overTls(bench.port, clientOptions(credential)))!;
  const isOver = (end: number) => bench.envoy.until(() => Date.now() > end + 1_000, 'the certificate is past its end');
  const wasTold = (word: string) =>
    bench.envoy.until(
      () =>
        bench.envoy.entries.some(
          (entry) => 'response' in entry && entry.response?.responseCodeDetails === `rbac_access_denied_matched_policy[${word}]`,
        ),
      `a call was refused as ${word}`,
    );

  it('refuse one of a hundred thousand revoked on open, resumed and new connections, and nobody else', async () => {
    await bench.apply({ inbound: [orders('enforce')] });
    const [gone, stays] = [issue(), issue()];
    const first = await callOverTls(bench.port, clientOptions(gone));
    const other = await callOverTls(bench.port, clientOptions(stays));
    using open = await openBy(gone);
    using good = await openBy(stays);
    assert.deepEqual([(await open.call()).status, (await good.call()).status], [200, 200]);

    bench.revoked.others = Array.from({ length: 100_000 }, () => Buffer.concat([Buffer.of(1), randomBytes(16)]));
    bench.revoked.credentials.push(gone);
    const made = bench.compile({ inbound: [orders('enforce')] });
    assert.deepEqual(preflight(Date.now(), made), []);
    // Some are begun while it comes in force.
    const applied = new AbortController();
    const begun: OpenConnection[] = [];
    const beginning = (async () => {
      while (!applied.signal.aborted) {
        const connection = await openBy(gone);
        if ((await connection.call()).status === 200) begun.push(connection);
      }
    })();
    assert.deepEqual(await bench.envoy.apply(made), []);
    applied.abort();
    await beginning;
    const late = await Promise.all(begun.map(async (connection) => (await connection.call()).status));
    for (const connection of begun) connection[Symbol.dispose]();
    assert.ok(late.length > 0);
    assert.deepEqual(
      late.filter((status) => status !== 403),
      [],
    );

    assert.deepEqual([(await open.call()).status, (await good.call()).status], [403, 200]);
    assert.equal((await callOverTls(bench.port, { ...clientOptions(gone), session: first.session! })).text, '');
    assert.equal((await callOverTls(bench.port, clientOptions(gone))).text, '');
    const again = await callOverTls(bench.port, { ...clientOptions(stays), session: other.session! });
    assert.match(again.text, /^HTTP\/1\.1 200 /);
    await wasTold('revoked');
  });

  it('refuse a certificate that came to its end, also once nobody says any more that it was revoked', async () => {
    await bench.apply({ inbound: [orders('enforce')] });
    const end = soon();
    const [revoked, ended, stays] = [issue({ notAfter: end }), issue({ notAfter: end }), issue()];
    const tickets = await Promise.all([revoked, ended].map((one) => callOverTls(bench.port, clientOptions(one))));
    using a = await openBy(revoked);
    using b = await openBy(ended);
    using c = await openBy(stays);
    assert.deepEqual(await Promise.all([a, b, c].map(async (one) => (await one.call()).status)), [200, 200, 200]);
    bench.revoked.credentials.push(revoked);
    await bench.apply({ inbound: [orders('enforce')] });
    assert.deepEqual(await Promise.all([a, b, c].map(async (one) => (await one.call()).status)), [403, 200, 200]);

    await isOver(end);
    bench.revoked.clear();
    await bench.apply({ inbound: [orders('enforce')] });
    assert.deepEqual(await Promise.all([a, b, c].map(async (one) => (await one.call()).status)), [403, 403, 200]);
    for (const [index, one] of [revoked, ended].entries()) {
      assert.equal((await callOverTls(bench.port, { ...clientOptions(one), session: tickets[index]!.session! })).text, '');
      assert.equal((await callOverTls(bench.port, clientOptions(one))).text, '');
    }
    await wasTold('expired');
  });

  it('tell the service nothing of it behind an open door', async () => {
    await bench.apply({ inbound: [orders('observe')] });
    const end = soon();
    using open = await openBy(issue({ notAfter: end }));
    using stays = await openBy(issue());
    assert.match((await open.call()).text, /URI=/);
    await isOver(end);
    const seen = [await open.call(), await stays.call()];
    assert.deepEqual(
      seen.map(({ status, text }) => [status, /URI=/.test(text)]),
      [
        [200, false],
        [200, true],
      ],
    );
  });

  it('take no word of a caller for them, and tell it to no service', async () => {
    await bench.apply({ inbound: [orders('enforce')] });
    const end = soon();
    using open = await openBy(issue({ notAfter: end }));
    const lies = { 'x-countersign-peer-serial': '00', 'x-countersign-peer-end': '9999999999', 'x-countersign-peer-fresh': 'true' };
    const told = await open.call({ headers: lies });
    assert.equal(told.status, 200);
    assert.doesNotMatch(told.text, /x-countersign/);
    await isOver(end);
    assert.equal((await open.call({ headers: lies })).status, 403);
    const text = requestText(
      '/',
      Object.entries(lies)
        .map(([name, value]) => `${name}: ${value}\r\n`)
        .join('')
        .repeat(2),
    );
    assert.match((await callOverTls(bench.port, clientOptions(issue()), text)).text, /^HTTP\/1\.1 200 /);
  });

  it('hold what two authorities gave the same serial number, and numbers that begin with nothing', async () => {
    await bench.apply({ inbound: [orders('enforce')] });
    const gone = issue();
    using open = await openBy(gone);
    using stays = await openBy(issue());
    assert.equal((await open.call()).status, 200);
    const { serial } = gone.certificate;
    bench.revoked.others = [serial, serial, Buffer.of(0), Buffer.of(0, 0xab)];
    await bench.apply({ inbound: [orders('enforce')] });
    assert.deepEqual([(await open.call()).status, (await stays.call()).status], [403, 200]);
  });
});

/** Whole seconds, as certificates have them. */
function soon(): number {
  return (Math.floor(Date.now() / 1_000) + 2) * 1_000;
}
