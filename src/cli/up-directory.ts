import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join, resolve } from 'node:path';
import { stringify } from 'yaml';
import { Problem } from '../core/problems/problem.ts';
import { parseServerConfig, readServerConfig, type ServerConfig, serverConfigKeys } from '../platform/config/server-config.ts';
import { formatHostPort, type HostPort } from '../platform/network/host-port.ts';
import { type Invocation, textOption } from './command.ts';

/** Where everything of `countersign up` lives. */
export type UpDirectory = {
  readonly path: string;
  readonly configFile: string;
  readonly config: ServerConfig;
  readonly gateway: { readonly state: string; readonly tokenFile: string };
};

/**
 * Opens the directory of `countersign up`. At the first start it writes the configuration: everything on loopback, the key file beside the
 * data directory and not in it. From then on the file says how it is, and an option that says otherwise is an error.
 * @throws input-invalid for an option that cannot be, that differs from the file, or that names an address in use
 */
export async function openUpDirectory(invocation: Invocation): Promise<UpDirectory> {
  const path = resolve(textOption(invocation, 'directory') ?? 'countersign');
  const configFile = join(path, 'countersign.yaml');
  const given = givenKeys(invocation);
  if (existsSync(configFile)) refuseDifference(readServerConfig(configFile), given, configFile);
  else await writeConfig(path, configFile, given);
  return {
    path,
    configFile,
    config: readServerConfig(configFile),
    gateway: { state: join(path, 'gateway'), tokenFile: join(path, 'gateway.token') },
  };
}

type Given = ReadonlyMap<OptionKey, string>;
type OptionKey = (typeof keyOfOption)[keyof typeof keyOfOption];

/** Which key of the configuration an option stands for. */
const keyOfOption = {
  trustDomain: 'trustDomain',
  environment: 'environment',
  database: 'database',
  admin: 'listen.admin',
  dataPlane: 'listen.dataPlane',
  public: 'listen.public',
} as const;

function givenKeys(invocation: Invocation): Given {
  return new Map(
    Object.entries(keyOfOption).flatMap(([option, key]): [OptionKey, string][] => {
      const value = textOption(invocation, option);
      return value === undefined ? [] : [[key, value]];
    }),
  );
}

async function writeConfig(path: string, configFile: string, given: Given): Promise<void> {
  const text = configText(given);
  const { listen } = parseServerConfig(text, path);
  for (const [option, address] of [
    ['--admin', listen.admin],
    ['--data-plane', listen.dataPlane],
    ['--public', listen.public],
  ] as const) {
    if (!(await isFree(address)))
      throw new Problem('input-invalid', `Cannot start: ${formatHostPort(address)} cannot be listened on, expected another by ${option}`);
  }
  await mkdir(path, { recursive: true, mode: 0o700 });
  await writeFile(configFile, text, { mode: 0o600, flag: 'wx' });
}

function configText(given: Given): string {
  const value = (key: keyof typeof serverConfigKeys): string => given.get(key as OptionKey) ?? serverConfigKeys[key].default ?? '';
  const database = given.get('database');
  return stringify({
    dataDirectory: 'data',
    keyFile: 'countersign.kek',
    trustDomain: given.get('trustDomain') ?? 'countersign.local',
    environment: value('environment'),
    region: value('region'),
    ...(database === undefined ? {} : { database }),
    listen: { admin: value('listen.admin'), dataPlane: value('listen.dataPlane'), public: value('listen.public') },
  });
}

function refuseDifference(config: ServerConfig, given: Given, configFile: string): void {
  const held: { readonly [key in OptionKey]: string } = {
    trustDomain: config.trustDomain,
    environment: config.environment,
    database: config.database,
    'listen.admin': formatHostPort(config.listen.admin),
    'listen.dataPlane': formatHostPort(config.listen.dataPlane),
    'listen.public': formatHostPort(config.listen.public),
  };
  for (const [key, value] of given) {
    if (held[key] !== value)
      throw new Problem('input-invalid', `Cannot start: ${configFile} has another ${key}, expected the same; change it in the file`);
  }
}

/** Asked at the first start only: the authorities that it makes carry the public address for their whole life. */
function isFree({ host, port }: HostPort): Promise<boolean> {
  const { promise, resolve: done } = Promise.withResolvers<boolean>();
  const server = createServer();
  server.once('error', () => done(false));
  server.listen(port, host, () => server.close(() => done(true)));
  return promise;
}
