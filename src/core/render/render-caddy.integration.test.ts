import { join } from 'node:path';
import { examineRendered } from '../../../test/support/render-suite.ts';

examineRendered({
  kind: 'caddy',
  program: join(import.meta.dirname, '../../../.test/peers/caddy/bin/caddy'),
  needs: process.execPath,
  check: (file) => ['validate', '--adapter', 'caddyfile', '--config', file],
  complains: /"level":"(?:warn|error)"(?!.*Caddyfile input is not formatted)/,
  run: (file) => ['run', '--adapter', 'caddyfile', '--config', file],
  unproved: 'closed',
  // Caddy reads no list. Go refuses a URI that is none, and shakes hands without a name, for which Caddy serves nothing.
  exam: { revoked: 'served', 'a name with a line feed': 'closed', 'no server name': '421', 'no server name and no certificate': '421' },
  findings: [],
  lists: 'none',
  toldCertificate: true,
  observed: { toldWhenProved: false },
  countsChunks: true,
  staples: false,
  rates: 'none',
  serverField: undefined,
});
