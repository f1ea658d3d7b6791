import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { clone, create } from '@bufbuild/protobuf';
import { openEnvoyBeside, startOrigin, until } from '../../../test/support/companion-lab.ts';
import { withoutEnvoy } from '../../../test/support/envoy-process.ts';
import { freePort } from '../../../test/support/free-port.ts';
import { inboundTo, loopback } from '../../../test/support/proxy-lab.ts';
import {
  ProxySettingsSchema,
  RevokedCertificateSchema,
  RevokedSetSchema,
  SocketAddressSchema,
} from '../../core/messages/generated/countersign/v1/settings_pb.ts';
import { type AdminClient, adminClient, type ConfigList } from './admin-client.ts';
import { type ConfigState, ConfigWatch } from './await-config.ts';

/** The admin of a real Envoy, and which lists it was asked for. */
function watched(path: string): { readonly admin: AdminClient; asked: Set<ConfigList> } {
  const real = adminClient(path);
  const watching = {
    asked: new Set<ConfigList>(),
    admin: {
      ...real,
      dump(list: ConfigList, mask: string, names?: string) {
        watching.asked.add(list);
        return real.dump(list, mask, names);
      },
    },
  };
  return watching;
}

describe('what an Envoy is seen to run', { skip: withoutEnvoy }, async () => {
  const origin = await startOrigin();
  after(() => origin.close());

  test('after a revocation only secrets and routes are looked at; after Envoy was away everything is', async () => {
    await using beside = await openEnvoyBeside();
    const { control, proxyId } = beside;
    beside.startEnvoy();
    const listen = create(SocketAddressSchema, loopback(await freePort()));
    const inbound = [Object.assign(inboundTo(origin.port, 'enforce'), { listen })];
    assert.equal((await beside.apply(1n, { inbound })).refusal, undefined);
    const { admin, asked } = watched(beside.places.adminPath);
    const watch = new ConfigWatch(admin);
    const stateNow = (): ConfigState => ({
      settings: control.settings.get(proxyId)!,
      trust: [control.bundle],
      revoked: clone(RevokedSetSchema, control.revoked),
    });
    assert.deepEqual(await watch.look(stateNow()), { kind: 'true' });
    assert.ok(asked.has('dynamic_listeners') && asked.has('dynamic_active_clusters') && asked.has('dynamic_endpoint_configs'));

    const serial = new Uint8Array(16).fill(7);
    const issuerKeySha256 = Buffer.from(control.authority.issuing.spkiSha256, 'hex');
    const ahead = stateNow();
    ahead.revoked.certificates.push(create(RevokedCertificateSchema, { serial, issuerKeySha256, forDrill: true }));
    ahead.revoked.sequence += 1n;
    asked.clear();
    assert.equal((await watch.look(ahead)).kind, 'waiting', 'Envoy was not told yet');
    control.revoked.certificates.push(create(RevokedCertificateSchema, { serial, issuerKeySha256, forDrill: true }));
    await control.revokedChanged();
    await until('the revocation is in force', async () => ((await watch.look(stateNow())).kind === 'true' ? true : null));
    assert.deepEqual([...asked].toSorted(), ['dynamic_active_secrets', 'dynamic_route_configs', 'dynamic_warming_secrets']);

    watch.forget();
    asked.clear();
    assert.deepEqual(await watch.look(stateNow()), { kind: 'true' });
    assert.ok(asked.has('dynamic_listeners') && asked.has('dynamic_endpoint_configs'));
  });

  test('other addresses of a cluster are waited for, though its name is there', async () => {
    await using beside = await openEnvoyBeside();
    const { control, proxyId } = beside;
    beside.startEnvoy();
    const listen = create(SocketAddressSchema, loopback(await freePort()));
    const inbound = (port: number) => [Object.assign(inboundTo(port, 'enforce'), { listen })];
    assert.equal((await beside.apply(1n, { inbound: inbound(origin.port) })).refusal, undefined);
    const watch = new ConfigWatch(adminClient(beside.places.adminPath));
    const settings = control.settings.get(proxyId)!;
    const state = { settings, trust: [control.bundle], revoked: control.revoked } as const;
    assert.deepEqual(await watch.look(state), { kind: 'true' });
    const moved = clone(ProxySettingsSchema, settings);
    moved.inbound = inbound(origin.port + 1);
    const look = await watch.look({ ...state, settings: moved });
    assert.equal(look.kind, 'waiting');
    assert.match(look.kind === 'waiting' ? look.detail : '', /it has not taken endpoints /);
    assert.equal((await beside.apply(2n, { inbound: inbound(origin.port + 1) })).refusal, undefined);
    assert.deepEqual(await watch.look({ ...state, settings: control.settings.get(proxyId)! }), { kind: 'true' });
  });

  test('nobody at the admin socket is absent, and nothing of before counts', async () => {
    await using beside = await openEnvoyBeside();
    const watch = new ConfigWatch(adminClient(beside.places.adminPath));
    const settings = create(ProxySettingsSchema, { generation: 1n });
    const look = await watch.look({ settings, trust: [beside.control.bundle], revoked: beside.control.revoked });
    assert.equal(look.kind, 'absent');
  });
});
