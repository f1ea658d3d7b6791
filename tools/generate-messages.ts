/** Generates the committed message code in `src/core/messages/generated` from the `.proto` files beside it. */
import { spawnSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { join } from 'node:path';

const root = join(import.meta.dirname, '..');
rmSync(join(root, 'src/core/messages/generated'), { recursive: true, force: true });
const { status } = spawnSync(join(root, 'node_modules/.bin/buf'), ['generate'], {
  cwd: root,
  stdio: 'inherit',
  env: { ...process.env, PATH: `${join(root, 'node_modules/.bin')}:${process.env.PATH}` },
});
process.exitCode = status ?? 1;
