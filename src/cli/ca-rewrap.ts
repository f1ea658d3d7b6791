import { existsSync } from 'node:fs';
import type { KeySource } from '../control/ca/unlock-keys.ts';
import { rewrapKeys } from '../control/ca/rewrap-keys.ts';
import { systemClock } from '../platform/clock/clock.ts';
import { readServerConfig } from '../platform/config/server-config.ts';
import { createKeyFile } from '../platform/signer/key-encryption-key.ts';
import { openState } from '../server/open-state.ts';
import { type Invocation, neededOption, type Run, textOption, UsageError } from './command.ts';

/** `countersign ca rewrap`: works on the database itself; stop the server first. */
export const run: Run = async (invocation) => {
  const config = readServerConfig(neededOption(invocation, 'config'));
  const source = await readSource(invocation, config.dataDirectory);
  await using state = await openState({ config, clock: systemClock });
  const { environment, region } = config;
  const next = await rewrapKeys(state, { source, environment, region }, { kind: 'system', name: 'ca-rewrap' }, systemClock.now());
  const key = source.kind === 'file' ? 'keyFile' : 'passphraseFile';
  invocation.output.answer({ keyEncryptionKey: next.id }, () => [
    `keys are under ${next.id} now; name the new file as ${key} in the configuration`,
  ]);
  return 'ok';
};

async function readSource(invocation: Invocation, dataDirectory: string): Promise<KeySource> {
  const keyFile = textOption(invocation, 'newKeyFile');
  const passphraseFile = textOption(invocation, 'newPassphraseFile');
  if ((keyFile === undefined) === (passphraseFile === undefined))
    throw new UsageError('expected exactly one of --new-key-file and --new-passphrase-file');
  if (passphraseFile !== undefined) return { kind: 'passphrase-file', path: passphraseFile, dataDirectory };
  if (!existsSync(keyFile!)) await createKeyFile(keyFile!, { dataDirectory });
  return { kind: 'file', path: keyFile!, dataDirectory };
}
