import { type ChildProcess, spawn } from 'node:child_process';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { SERVER_ENVIRONMENT } from '../src/server/process-environment.ts';
import { jsonOf, openConnection } from './json-connection.ts';
import { freePort, stopProgram, untilAnswered } from './program.ts';

/** A control plane in a folder of its own, which outlives its process. */
export type ControlPlane = {
  readonly child: ChildProcess;
  readonly pid: number;
  readonly adminUrl: string;
  readonly publicUrl: string;
  readonly dataPlanePort: number;
  readonly database: string;
  /** Of an administrator, everywhere. */
  readonly token: string;
  stop(): Promise<void>;
};

/** Starts it with a new administrator's token. `more` is YAML behind the ordinary configuration; `whenMade` runs between a first start and this. */
export async function startControlPlane(
  folder: string,
  { more = '', whenMade }: { readonly more?: string; readonly whenMade?: (database: string, config: string) => void | Promise<void> } = {},
): Promise<ControlPlane> {
  const [admin, dataPlane, open] = [await freePort(), await freePort(), await freePort()];
  const config = join(folder, 'countersign.yaml');
  const listen = `listen:\n  admin: 127.0.0.1:${admin}\n  dataPlane: 127.0.0.1:${dataPlane}\n  public: 127.0.0.1:${open}\n`;
  await writeFile(config, `dataDirectory: data\nkeyFile: kek\ntrustDomain: bench.example\nlogLevel: error\n${listen}${more}`);
  const adminUrl = `https://127.0.0.1:${admin}`;
  const tokenFile = join(folder, 'data/bootstrap.token');
  const database = join(folder, 'data/countersign.sqlite');
  if (whenMade !== undefined) {
    await stopProgram(await launch(config, adminUrl));
    // The next start makes another token; this one is worth nothing then.
    await rm(tokenFile);
    await whenMade(database, config);
  }
  const child = await launch(config, adminUrl);
  const token = await administratorOf(adminUrl, tokenFile);
  return {
    child,
    pid: child.pid!,
    adminUrl,
    publicUrl: `http://127.0.0.1:${open}`,
    dataPlanePort: dataPlane,
    database,
    token,
    stop: () => stopProgram(child),
  };
}

/** What the shell would be given. */
export function controlPlaneArguments(config: string): readonly string[] {
  return ['--disable-warning=ExperimentalWarning', join(import.meta.dirname, '../src/cli/main.ts'), 'server', '--config', config];
}

async function launch(config: string, adminUrl: string): Promise<ChildProcess> {
  const env = { ...SERVER_ENVIRONMENT, ...process.env };
  const child = spawn(process.execPath, controlPlaneArguments(config), { stdio: ['ignore', 'ignore', 'inherit'], env });
  try {
    await untilAnswered(`${adminUrl}/healthz`, child);
    return child;
  } catch (error) {
    await stopProgram(child);
    throw error;
  }
}

async function administratorOf(adminUrl: string, tokenFile: string): Promise<string> {
  const connection = openConnection(adminUrl);
  try {
    const body = JSON.stringify({ token: await untilWritten(tokenFile), name: 'bench' });
    return String(jsonOf(await connection.send('POST', '/v1/bootstrap-exchange', body, { 'content-type': 'application/json' }))['token']);
  } finally {
    await connection.close();
  }
}

/** The file is written after the listeners are open. */
async function untilWritten(file: string): Promise<string> {
  for (let tries = 0; tries < 500; tries++) {
    const text = await readFile(file, 'utf8').catch(() => '');
    if (text.trim() !== '') return text.trim();
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  throw new Error(`${file} was not written`);
}
