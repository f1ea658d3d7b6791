import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SourcePorts } from './source-ports.ts';

test('no port is taken twice within forty seconds', () => {
  let now = 0;
  const ports = new SourcePorts(() => now);
  const seen = new Set<number>();
  for (let count = 0; count < 300; count++) {
    const bound = ports.take('127.0.0.1');
    assert.ok(bound !== undefined);
    const { port } = bound.address();
    assert.ok(!seen.has(port), `${port} again`);
    seen.add(port);
    bound.close();
    now += 100;
  }
});

test('the system chooses for a name', () => {
  assert.equal(new SourcePorts().take('localhost'), undefined);
});

test('an address of IPv6 has a socket of its own family', () => {
  const bound = new SourcePorts().take('::1');
  assert.equal(bound?.address().family, 'IPv6');
  bound?.close();
});
