import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { pause } from '../platform/clock/pause.ts';
import { formatHostPort } from '../platform/network/host-port.ts';
import type { Run } from './command.ts';
import { supervise, type Supervision } from './supervise.ts';
import { openUpDirectory, type UpDirectory } from './up-directory.ts';

/** `countersign up`: a control plane and a gateway, each a process of its own, started again when it dies, ended together. */
export const run: Run = async (invocation) => {
  const directory = await openUpDirectory(invocation);
  const supervision = untilTold((text) => invocation.output.remark(text));
  invocation.output.answer(describe(directory), ({ server, root, bootstrapFile, gatewayTokenFile }) => [
    `control plane: ${server}, its root ${root}`,
    `first start: countersign token exchange --server ${server} --root ${root} --bootstrap-file ${bootstrapFile} --name ME --out admin.token`,
    `gateway: starts when its join token lies in ${gatewayTokenFile}`,
  ]);
  await Promise.all([
    supervise({ name: 'server', prepare: async () => ['server', '--config', directory.configFile] }, supervision),
    supervise({ name: 'gateway', prepare: (signal) => untilJoinable(directory, signal) }, supervision),
  ]);
  return 'ok';
};

function describe({ path, config, gateway }: UpDirectory) {
  return {
    directory: path,
    server: `https://${formatHostPort(config.listen.admin)}`,
    dataPlane: formatHostPort(config.listen.dataPlane),
    public: `http://${formatHostPort(config.listen.public)}`,
    root: join(config.dataDirectory, 'root.pem'),
    bootstrapFile: join(config.dataDirectory, 'bootstrap.token'),
    gatewayTokenFile: gateway.tokenFile,
  };
}

/**
 * The gateway can start once a person who may make join tokens has put one where it looks. `up` makes none itself: whoever may say what
 * the gateway is, is known to the control plane by a token, and the log then names that person. A state directory with a certificate needs none.
 */
async function untilJoinable({ config, gateway }: UpDirectory, signal: AbortSignal): Promise<readonly string[] | null> {
  const args = ['proxy', '--control', formatHostPort(config.listen.dataPlane), '--state', gateway.state];
  while (!signal.aborted) {
    if (existsSync(join(gateway.state, 'identity'))) return args;
    if (existsSync(gateway.tokenFile)) return [...args, '--join-token-file', gateway.tokenFile];
    await pause(LOOK_MS, signal);
  }
  return null;
}

/** The first SIGINT or SIGTERM ends both programs; another one, given by a person who does not want to wait, kills them. */
function untilTold(remark: (text: string) => void): Supervision {
  const ending = new AbortController();
  const killing = new AbortController();
  let toldAt = 0;
  const tell = (): void => {
    if (!ending.signal.aborted) {
      toldAt = performance.now();
      ending.abort();
      remark('ending; a second signal kills at once');
    } else if (performance.now() - toldAt > ECHO_MS) killing.abort();
  };
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, tell);
  return { ending: ending.signal, killing: killing.signal, remark };
}

const LOOK_MS = 500;
/** Ctrl-C reaches this process from the terminal and again from the program that started it. */
const ECHO_MS = 1_000;
