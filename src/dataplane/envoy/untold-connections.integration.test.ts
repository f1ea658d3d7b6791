import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import { SocketAddressSchema } from '../../core/messages/generated/countersign/v1/settings_pb.ts';
import { Channel, Outcome, type PathCount, Unit } from '../../core/messages/generated/countersign/v1/telemetry_pb.ts';
import { openEnvoyBeside, startOrigin, until } from '../../../test/support/companion-lab.ts';
import { withoutEnvoy } from '../../../test/support/envoy-process.ts';
import { freePort } from '../../../test/support/free-port.ts';
import { callInClear, inboundTo, loopback } from '../../../test/support/proxy-lab.ts';

const isUnproved = ({ channel, unit, outcome }: PathCount): boolean =>
  channel === Channel.PLAINTEXT && unit === Unit.CONNECTION && outcome === Outcome.WOULD_REFUSE;

describe('connections that an Envoy told nobody of', { skip: withoutEnvoy }, async () => {
  const origin = await startOrigin();
  after(() => origin.close());

  test('while its companion was away hold the gate, as unproved; without any nothing is made up', async () => {
    await using beside = await openEnvoyBeside();
    const port = await freePort();
    beside.startEnvoy();
    const listen = create(SocketAddressSchema, loopback(port));
    const made = Object.assign(inboundTo(origin.port, 'permissive'), { listen });
    assert.equal((await beside.apply(1n, { inbound: [made] })).refusal, undefined);
    const reports = () => beside.control.reports.slice(before).filter(({ generation }) => generation === 1n);
    let before = beside.control.reports.length;
    await beside.restartCompanion();
    await until('it is back', () => (reports().length > 1 ? true : null));
    assert.deepEqual(
      reports().flatMap(({ counts }) => counts.filter(isUnproved)),
      [],
    );

    await beside.companion.stop(0);
    assert.match(await callInClear(port), /^HTTP\/1\.1 200 /);
    before = beside.control.reports.length;
    await beside.restartCompanion();
    await until('the connection is counted', () => (reports().some(({ counts }) => counts.some(isUnproved)) ? true : null));
  });
});
