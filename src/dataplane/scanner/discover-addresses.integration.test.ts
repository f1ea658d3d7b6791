import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { closedAddress, openHttpEndpoint, openTcpEndpoint, openTlsEndpoint, pemOf } from '../../../test/support/endpoints.ts';
import { makeTestAuthority } from '../../../test/support/test-authority.ts';
import { parseAddressPolicy } from '../../platform/network/address-policy.ts';
import { discoverAddresses, parseAddressRange } from './discover-addresses.ts';

const loopback = { policy: parseAddressPolicy(['127.0.0.0/8']), perSecond: 1_000, timeoutMs: 5_000 };

describe('parseAddressRange()', () => {
  test('takes one port, a range, and IPv6 in brackets', () => {
    assert.deepEqual(parseAddressRange('127.0.0.1:8443'), [{ host: '127.0.0.1', port: 8443 }]);
    assert.deepEqual(
      parseAddressRange('[::1]:8000-8002').map(({ host, port }) => `${host} ${port}`),
      ['::1 8000', '::1 8001', '::1 8002'],
    );
    assert.equal(parseAddressRange('127.0.0.1:1-65535').length, 65_535);
  });

  test('refuses what is no range of addresses', () => {
    const texts = ['', '127.0.0.1', '127.0.0.1:', '127.0.0.1:0', '127.0.0.1:65536', '127.0.0.1:9-8', '127.0.0.1:1-65536', 'localhost:80'];
    const more = [
      '::1:80',
      '127.0.0.1:80-',
      '127.0.0.1:-80',
      '127.0.0.1:80,81',
      '127.0.0.1:1-2-3',
      '127.0.0.0/24:80',
      '999.0.0.1:80',
      '[1]:80',
    ];
    for (const text of [...texts, ...more]) assert.throws(() => parseAddressRange(text), { code: 'input-invalid' }, text);
  });
});

describe('discoverAddresses()', () => {
  test('tells what answers, by address, and leaves closed ports out', async () => {
    const pem = pemOf(makeTestAuthority(Date.now()).issue({ ips: ['127.0.0.1'] }));
    await using http = await openHttpEndpoint();
    await using tls = await openTlsEndpoint(pem);
    const progress: string[] = [];
    const found = await discoverAddresses([tls.address, await closedAddress(), http.address], {
      ...loopback,
      onProgress: (done, total) => progress.push(`${done}/${total}`),
    });
    const expected = [http, tls].map(({ address }) => address.port).toSorted((a, b) => a - b);
    assert.deepEqual(
      found.map(({ address }) => Number(address.split(':')[1])),
      expected,
    );
    assert.equal(found.filter((facts) => facts.tls !== null).length, 1);
    assert.deepEqual(progress, ['1/3', '2/3', '3/3']);
  });

  test('sends nothing to anyone when one address is outside of the ranges', async () => {
    await using endpoint = await openTcpEndpoint();
    for (const host of ['10.0.0.1', '128.0.0.1', '::1', '169.254.169.254', '0.0.0.0']) {
      await assert.rejects(discoverAddresses([endpoint.address, { host, port: 80 }], loopback), { code: 'input-invalid' }, host);
    }
    assert.equal(endpoint.connections(), 0);
  });

  test('never asks a metadata address, whatever the ranges say', async () => {
    const everywhere = { ...loopback, policy: parseAddressPolicy(['0.0.0.0/0', '::/0']) };
    for (const host of ['169.254.169.254', 'fe80::1', '::ffff:169.254.169.254'])
      await assert.rejects(discoverAddresses([{ host, port: 80 }], everywhere), { code: 'input-invalid' }, host);
  });

  test('begins no further address once it is told to stop', async () => {
    await using endpoint = await openHttpEndpoint();
    const stopping = new AbortController();
    let done = 0;
    await discoverAddresses(
      Array.from({ length: 200 }, () => endpoint.address),
      { ...loopback, perSecond: 10_000, signal: stopping.signal, onProgress: (count) => ((done = count), stopping.abort()) },
    );
    assert.ok(done > 0 && done < 100, `${done} of 200 were probed`);
  });

  test('begins no more addresses than it may in a second', async () => {
    await using endpoint = await openHttpEndpoint();
    const startedAt = performance.now();
    await discoverAddresses([endpoint.address, endpoint.address, endpoint.address], { ...loopback, perSecond: 10 });
    assert.ok(performance.now() - startedAt >= 199, 'the third address may begin after 200 ms only');
  });
});
