import assert from 'node:assert/strict';
import { after, afterEach, before, describe, test } from 'node:test';
import { connect } from 'node:tls';
import { CALLER, type EnvoyBeside, openEnvoyBeside } from '../../../test/support/envoy-beside.ts';
import { withoutEnvoy } from '../../../test/support/envoy-process.ts';
import { freePort } from '../../../test/support/free-port.ts';
import { callInClear, callOverTls, clientOptions, requestText } from '../../../test/support/proxy-lab.ts';
import { spoiled } from '../../../test/support/spoil-envoy.ts';
import { LISTENER_TYPE } from '../../core/messages/type-urls.ts';

/** What a port answers in the clear. */
const clear = async (port: number): Promise<string> => (await callInClear(port).catch(() => '')).slice(0, 15);

for (const variant of ['DELTA_GRPC', 'GRPC'] as const) {
  describe(`a real Envoy over ${variant}`, { skip: withoutEnvoy }, () => {
    let beside: EnvoyBeside;
    /** The second endpoint, by which is seen that others are still delivered. */
    let secondPort: number;
    before(async () => {
      [beside, secondPort] = [await openEnvoyBeside({ variant }), await freePort()];
    });
    after(() => beside[Symbol.asyncDispose]());
    afterEach(() => assert.deepEqual(beside.control.envoys.failed.splice(0), []));

    const secondEndpoint = 'endpoint_01j00000000000000000000001';
    const both = (mode: 'observe' | 'enforce', second: 'observe' | 'enforce' = mode) => ({
      inbound: [
        beside.inbound(beside.port, mode),
        beside.inbound(secondPort, second, { endpointId: secondEndpoint, endpointName: 'second' }),
      ],
    });
    const call = async (port: number): Promise<string> => (await callOverTls(port, clientOptions(beside.caller))).text.slice(0, 15);
    const OK = 'HTTP/1.1 200 OK';
    const stat = async (name: string): Promise<number> => Number(/: (\d+)$/m.exec(await beside.admin(`/stats?filter=^${name}$`))?.[1] ?? 0);

    test('is live with nothing to do, and then serves what its settings mean', async () => {
      beside.publish();
      await beside.live();
      beside.publish(both('observe'));
      await beside.until('both ports answer', async () => (await clear(beside.port)) === OK && (await call(secondPort)) === OK);
      assert.equal(await stat('listener_manager.total_listeners_warming'), 0);
      assert.deepEqual(beside.book.statusOf(beside.proxyId), { connected: true, state: 'current', refused: [] });
      beside.publish(both('enforce'));
      await beside.until('the clear is refused', async () => (await clear(beside.port)) === '' && (await clear(secondPort)) === '');
      assert.equal(await call(beside.port), OK);
    });

    const bad = [
      ['a list of revoked certificates that is none', 'Secret', () => spoiled.crl, /CRL/],
      ['an authority that is none', 'Secret', () => spoiled.authority, /certificate/i],
      ['a group that it does not know', 'Listener', () => spoiled.group, /ECDH curves/],
    ] as const;

    /** What it takes without a word, and is the worse for. */
    const worse = [
      ['a secret that there is not', 'Listener', () => spoiled.absent],
      ['text that holds no list', 'Secret', () => spoiled.emptyCrl],
      ['a certificate with the key of another', 'Secret', () => spoiled.key(beside.control.authority)],
    ] as const;

    test('is not sent what we know that it would refuse: the last good serves, the rest is delivered, and it is shown', async () => {
      for (const [what, type, spoil] of [...bad, ...worse]) {
        const answers = beside.control.acknowledged.length;
        beside.made.spoil = spoil();
        beside.publish({
          inbound: [
            ...both('enforce').inbound,
            beside.inbound(await freePort(), 'observe', { endpointId: `endpoint_01j0000000000000000000000${answers % 10}` }),
          ],
        });
        await beside.until(`it is shown: ${what}`, () => beside.book.statusOf(beside.proxyId)!.refused.length > 0);
        const { refused } = beside.book.statusOf(beside.proxyId)!;
        for (const { typeUrl, by, reason } of refused) {
          assert.ok(typeUrl.endsWith(`.${type}`), `${what}: ${typeUrl}`);
          assert.equal(by, 'countersign');
          assert.ok(reason.length > 5, what);
        }
        assert.equal(await call(beside.port), OK, what);
        assert.equal(beside.control.acknowledged.slice(answers).filter(({ refusal }) => refusal !== undefined).length, 0, what);
        beside.made.spoil = (resources) => resources;
        beside.publish(both('enforce'));
        await beside.until(`it is over: ${what}`, () => beside.book.statusOf(beside.proxyId)!.refused.length === 0);
      }
    });

    test('refuses it if it is sent all the same: the last good serves, it is shown with its reason, and not sent again', async () => {
      beside.made.isCareful = false;
      for (const [what, type, spoil, reason] of bad) {
        const answers = beside.control.acknowledged.length;
        beside.made.spoil = spoil();
        beside.publish(both('enforce'));
        const refusals = () => beside.control.acknowledged.slice(answers).filter(({ refusal }) => refusal !== undefined);
        await beside.until(`both are refused: ${what}`, () => new Set(refusals().map(({ name }) => name)).size === 2);
        for (const { typeUrl, refusal } of refusals()) {
          assert.ok(typeUrl.endsWith(`.${type}`), `${what}: ${typeUrl}`);
          assert.match(refusal!, reason, what);
        }
        const shown = beside.book.statusOf(beside.proxyId)!.refused;
        assert.deepEqual(
          shown.map(({ by }) => by),
          ['envoy', 'envoy'],
          what,
        );
        const times = refusals().length;
        beside.publish({ ...both('enforce'), telemetryIntervalMs: 1 });
        await beside.control.revokedChanged();
        assert.equal(await call(beside.port), OK, what);
        assert.equal(refusals().length, times, `${what}: not again`);
        beside.made.spoil = (resources) => resources;
        beside.publish(both('enforce'));
        await beside.until(`it is over: ${what}`, () => beside.book.statusOf(beside.proxyId)!.refused.length === 0);
      }
      beside.made.isCareful = true;
    });

    test('serves on while the control plane is away, and is sent only what differs when it is back', async () => {
      const listeners = await stat('listener_manager.listener_modified');
      await beside.control.stop();
      await beside.until('Envoy knows', async () => (await stat('control_plane.connected_state')) === 0);
      for (let at = 0; at < 5; at++) assert.equal(await call(beside.port), OK);
      const answers = beside.control.acknowledged.length;
      await beside.control.start();
      await beside.until('Envoy is back', () => beside.book.statusOf(beside.proxyId)!.connected);
      beside.publish(both('enforce', 'observe'));
      await beside.until('what differs is there', async () => (await clear(secondPort)) === OK);
      if (variant === 'DELTA_GRPC') {
        // A listener is called by its address.
        const taken = beside.control.acknowledged.slice(answers);
        assert.equal(taken.filter(({ typeUrl }) => typeUrl === LISTENER_TYPE).length, 1);
        assert.deepEqual(
          taken.filter(({ typeUrl, name }) => typeUrl !== LISTENER_TYPE && !name.includes(secondEndpoint)),
          [],
        );
      }
      assert.equal(await stat('listener_manager.listener_modified'), listeners + 1);
      assert.equal(await call(beside.port), OK);
    });

    test('is not taken back by a state from before', async () => {
      beside.publish(both('enforce'), 50n);
      await beside.until('it is enforced', async () => (await clear(secondPort)) === '');
      await beside.control.stop();
      beside.publish(both('observe'), 20n);
      await beside.control.start();
      await beside.until('it is shown', () => beside.book.statusOf(beside.proxyId)!.state === 'state-older');
      await beside.control.revokedChanged();
      beside.publish(both('observe'), 21n);
      assert.deepEqual([await clear(beside.port), await clear(secondPort), await call(beside.port)], ['', '', OK]);
      beside.publish(both('enforce', 'observe'), 51n);
      await beside.until('we have passed it', async () => (await clear(secondPort)) === OK);
      assert.deepEqual([await clear(beside.port), beside.book.statusOf(beside.proxyId)!.state], ['', 'current']);
    });

    test('refuses a revoked caller on its open connection, in a resumption and anew, and no connection of its ports stands on', async () => {
      const modified = await stat('listener_manager.listener_modified');
      const caller = beside.control.authority.issue({ uris: [CALLER] });
      const open = connect({ host: '127.0.0.1', port: beside.port, rejectUnauthorized: false, ...clientOptions(caller) });
      let seen = '';
      let session: Buffer | null = null;
      open.on('session', (ticket: Buffer) => (session = ticket));
      open.on('data', (chunk: Buffer) => (seen += chunk.toString('latin1')));
      open.on('error', () => {});
      const ask = () =>
        open.write(
          requestText('/').replace('Connection: close', 'Connection: keep-alive').replace('connection: close', 'connection: keep-alive'),
        );
      ask();
      await beside.until('the caller is served', () => seen.startsWith(OK) && session !== null);
      await beside.revoke([caller.certificate.serial]);
      await beside.until('its next call is refused', () => {
        if (open.destroyed) return true;
        ask();
        return /HTTP\/1\.1 (?:403|401)/.test(seen);
      });
      open.destroy();
      await beside.until('its handshakes are refused', async () => (await callOverTls(beside.port, clientOptions(caller))).text === '');
      assert.equal((await callOverTls(beside.port, { ...clientOptions(caller), session: session! })).text, '');
      assert.equal(await call(beside.port), OK, 'another certificate of the same name');
      await beside.until('both ports have other chains', async () => (await stat('listener_manager.listener_modified')) === modified + 2);
    });

    test('gets everything again when it was started anew', async () => {
      await beside.restartEnvoy();
      await beside.until('both ports answer', async () => (await call(beside.port)) === OK && (await call(secondPort)) === OK);
    });
  });
}
