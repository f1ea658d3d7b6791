import assert from 'node:assert/strict';
import { test } from 'node:test';
import { envoyProgram, withoutEnvoy } from '../support/envoy-process.ts';
import { PageSession, readBlocks } from './page-session.ts';

test(
  'a reader takes two services to an enforced, drilled path with Envoys for sidecars, without one failed call',
  { skip: withoutEnvoy },
  async () => {
    await using session = await PageSession.open();
    const fleet = readBlocks('docs/how-to/first-fleet.md');
    const declared = fleet.findIndex((block) => block.includes('kind: Service'));
    assert.notEqual(declared, -1);
    for (const block of fleet.slice(0, declared)) await session.run(block);
    await session.run(`export ENVOY='${envoyProgram}'`);
    for (const block of readBlocks('docs/how-to/run-envoy-as-the-data-plane.md')) await session.run(block);
    assert.equal(await session.leave(), 'nothing left');
  },
);
