import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import { InboundSchema, Origination, Termination } from '../../core/messages/generated/countersign/v1/settings_pb.ts';
import { MINUTE_MS } from '../../core/time/instant.ts';
import { ManualClock } from '../../platform/clock/clock.ts';
import { hasOpenssl } from '../../../test/support/openssl.ts';
import { OpensslPeers } from '../../../test/support/openssl-peers.ts';
import {
  callOverTls,
  clientOptions,
  inboundTo,
  ORDERS,
  outboundTo,
  ProxyLab,
  requestText,
  STOREFRONT,
} from '../../../test/support/proxy-lab.ts';

const skip = (await hasOpenssl()) ? false : 'openssl is missing';
const MAINFRAME = 'mainframe.acme.example';
const folder = await mkdtemp(join(tmpdir(), 'countersign-old-'));
after(() => rm(folder, { recursive: true }));
await writeFile(join(folder, 'paid'), 'HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\npaid');

/** A bridge to OpenSSL's server: callers speak mutual TLS of today to it, and it speaks what the exception lets it. */
async function openBridge(serverArgs: readonly string[]) {
  const stack = new AsyncDisposableStack();
  const peers = stack.use(new OpensslPeers(folder));
  const clock = new ManualClock(Date.now());
  const bridge = stack.use(new ProxyLab(ORDERS, undefined, clock));
  const port = await peers.server(peers.web.issue({ dnsNames: [MAINFRAME] }), serverArgs);
  const apply = (oldTls: { readonly minimumVersion: number; readonly untilMs: bigint; readonly exception: string } | null) => {
    const { listen: _listen, ...nextHop } = outboundTo([port], Origination.TLS, {
      serverName: MAINFRAME,
      serverAnchors: [peers.web.root.der],
      endpointId: 'endpoint_01j00000000000000000000001',
      ...(oldTls === null ? {} : { oldTls }),
    });
    const { upstream: _upstream, ...inbound } = inboundTo(0, 'enforce');
    return bridge.apply({ inbound: [create(InboundSchema, { ...inbound, termination: Termination.REENCRYPT, nextHop })] });
  };
  const caller = clientOptions(bridge.authority.issue({ uris: [STOREFRONT] }));
  const call = async (): Promise<string> => (await callOverTls(bridge.portOf(0), caller, requestText('/paid'))).text;
  const reasons = (): readonly unknown[] =>
    bridge.log.splice(0).flatMap(({ event, fields }) => (event === 'upstream failed' ? [fields['reason']] : []));
  return { clock, apply, call, reasons, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

const PAID = /^HTTP\/1\.1 200 [^]*paid$/;
const TLS_1_0 = 0x0301;

/** What the server is started with, the lowest version that reaches it, and how a bridge without an exception fails. */
const servers: readonly (readonly [name: string, args: readonly string[], version: number, reason: string])[] = [
  ['TLS 1.0', ['-tls1', '-cipher', 'ALL:@SECLEVEL=0'], TLS_1_0, 'tls-version'],
  ['TLS 1.1', ['-tls1_1', '-cipher', 'ALL:@SECLEVEL=0'], 0x0302, 'tls-version'],
  ['TLS 1.2 in CBC mode with SHA-256', ['-tls1_2', '-cipher', 'ECDHE-ECDSA-AES128-SHA256:@SECLEVEL=0'], 0x0303, 'tls-malformed'],
  ['TLS 1.2 in CBC mode with SHA-1', ['-tls1_2', '-cipher', 'ECDHE-ECDSA-AES256-SHA:@SECLEVEL=0'], 0x0303, 'tls-malformed'],
  ['TLS 1.2 signed by SHA-1', ['-tls1_2', '-sigalgs', 'ECDSA+SHA1', '-cipher', 'ALL:@SECLEVEL=0'], 0x0303, 'tls-malformed'],
];

describe('a bridge to OpenSSL’s server', { skip }, () => {
  for (const [name, args, version, reason] of servers) {
    test(`of ${name}: only under an exception for it, and only until its end`, async () => {
      await using bridge = await openBridge(args);
      const { clock, apply, call, reasons } = bridge;
      const exception = (minimumVersion: number) => ({ minimumVersion, untilMs: BigInt(clock.now() + MINUTE_MS), exception: 'mainframe' });
      for (const narrower of [null, ...(version < 0x0303 ? [exception(version + 1)] : [])]) {
        assert.equal((await apply(narrower)).kind, 'accepted');
        assert.doesNotMatch(await call(), PAID);
        assert.deepEqual([...new Set(reasons())], [reason]);
      }
      await apply(exception(version));
      assert.match(await call(), PAID);
      clock.advance(MINUTE_MS - 1);
      assert.match(await call(), PAID);
      clock.advance(1);
      assert.doesNotMatch(await call(), PAID);
      assert.ok(reasons().includes('exception-ended'));
      await apply(null);
      assert.doesNotMatch(await call(), PAID);
    });
  }

  const never: readonly (readonly [string, readonly string[]])[] = [
    ['no authentication', ['-tls1_2', '-cipher', 'AECDH-AES128-SHA:@SECLEVEL=0']],
    ['no encryption', ['-tls1_2', '-cipher', 'ECDHE-ECDSA-NULL-SHA:@SECLEVEL=0']],
    ['AES-CCM with a short tag', ['-tls1_2', '-cipher', 'ECDHE-ECDSA-AES128-CCM8:@SECLEVEL=0']],
    ['Camellia', ['-tls1_2', '-cipher', 'ECDHE-ECDSA-CAMELLIA128-SHA256:@SECLEVEL=0']],
    ['ARIA', ['-tls1_2', '-cipher', 'ECDHE-ECDSA-ARIA128-GCM-SHA256:@SECLEVEL=0']],
  ];
  for (const [name, args] of never) {
    test(`with ${name} is refused under any exception`, async () => {
      await using bridge = await openBridge(args);
      await bridge.apply({ minimumVersion: TLS_1_0, untilMs: BigInt(bridge.clock.now() + MINUTE_MS), exception: 'mainframe' });
      assert.doesNotMatch(await bridge.call(), PAID);
      assert.deepEqual([...new Set(bridge.reasons())], ['tls-malformed']);
    });
  }
});
