import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createMetrics } from './metrics.ts';

test('metrics print as OpenMetrics text, escaped', () => {
  const metrics = createMetrics();
  metrics.add('countersign_requests_total', { route: 'GET /v1/"x"\n', status: '200' });
  metrics.add('countersign_requests_total', { route: 'GET /v1/"x"\n', status: '200' }, 2);
  metrics.set('countersign_data_plane_connections', 7);
  const text = metrics.render();
  assert.match(text, /^countersign_requests_total\{route="GET \/v1\/\\"x\\"\\n",status="200"\} 3$/m);
  assert.match(text, /^countersign_data_plane_connections 7$/m);
  assert.match(text, /^# TYPE countersign_requests counter$/m);
  assert.ok(text.endsWith('# EOF\n'));
});

test('a label that is no closed set does not grow the registry without bound', () => {
  const metrics = createMetrics();
  for (let index = 0; index < 5_000; index++) metrics.add('countersign_requests_total', { route: String(index), status: '200' });
  assert.ok(metrics.render().split('\n').length < 1_010);
});
