import { createHash, randomBytes, scrypt } from 'node:crypto';
import { open, realpath } from 'node:fs/promises';
import { basename, dirname, join, sep } from 'node:path';
import { Problem } from '../../core/problems/problem.ts';
import { Secret } from '../../core/secrets/secret.ts';

/** The key that wraps data keys. Its id is derived from it, so that a wrong one is named before anything is decrypted. */
export type KeyEncryptionKey = { readonly id: string; readonly key: Secret<Uint8Array> };

/** How a passphrase becomes a key (RFC 7914); stored beside the keys it wraps, without anything secret. */
export type ScryptParameters = {
  readonly salt: Uint8Array;
  readonly cost: number;
  readonly blockSize: number;
  readonly parallelization: number;
};

/**
 * Reads the 32 random octets of a key file.
 * @throws key-file-unsafe if others may read it, it is no regular file, or it lies in the data directory, where one copy would take both.
 */
export async function readKeyFile(path: string, options: { readonly dataDirectory: string }): Promise<KeyEncryptionKey> {
  return makeKeyEncryptionKey(await readPrivateFile(path, options.dataDirectory, { minimum: KEY_OCTETS, maximum: KEY_OCTETS }));
}

/** Makes a key file, 0600, durable before it is used. @throws key-file-unsafe if it exists or lies in the data directory. */
export async function createKeyFile(path: string, options: { readonly dataDirectory: string }): Promise<KeyEncryptionKey> {
  await refuseInside(path, options.dataDirectory);
  const key = randomBytes(KEY_OCTETS);
  const file = await open(path, 'wx', 0o600).catch((cause: unknown) => {
    throw new Problem('key-file-unsafe', `Cannot create key file: ${path}, expected a name not taken in a writable directory`, { cause });
  });
  try {
    await file.chmod(0o600);
    await file.writeFile(key);
    await file.sync();
  } finally {
    await file.close();
  }
  const directory = await open(dirname(path), 'r');
  await directory.sync().finally(() => directory.close());
  return makeKeyEncryptionKey(key);
}

/** Reads the first line of a passphrase file. @throws key-file-unsafe as `readKeyFile` does, or if it is longer than a line may be. */
export async function readPassphraseFile(path: string, options: { readonly dataDirectory: string }): Promise<Secret> {
  const octets = await readPrivateFile(path, options.dataDirectory, { minimum: MINIMUM_PASSPHRASE, maximum: MAXIMUM_PASSPHRASE });
  return new Secret(octets.toString('utf8').split(/\r?\n/)[0]!);
}

/** Derives the key from a passphrase that came by file or stdin. @throws key-file-unsafe if it is shorter than 12 characters. */
export async function derivePassphraseKey(passphrase: Secret, parameters: ScryptParameters): Promise<KeyEncryptionKey> {
  const text = passphrase.reveal().normalize('NFC');
  if (text.length < MINIMUM_PASSPHRASE) {
    throw new Problem('key-file-unsafe', `Cannot use passphrase: ${text.length} characters, expected at least ${MINIMUM_PASSPHRASE}`);
  }
  const { salt, cost, blockSize, parallelization } = parameters;
  const key = await new Promise<Buffer>((resolve, reject) => {
    const memory = 256 * cost * blockSize;
    scrypt(text, salt, KEY_OCTETS, { N: cost, r: blockSize, p: parallelization, maxmem: memory }, (error, derived) =>
      error === null ? resolve(derived) : reject(error),
    );
  });
  return makeKeyEncryptionKey(key);
}

/** Fresh parameters for a new passphrase: 128 MiB and some tenths of a second a guess (RFC 7914, OWASP's choice of cost). */
export function newScryptParameters(): ScryptParameters {
  return { salt: randomBytes(16), cost: 2 ** 17, blockSize: 8, parallelization: 1 };
}

export function makeKeyEncryptionKey(key: Uint8Array): KeyEncryptionKey {
  if (key.length !== KEY_OCTETS) throw new RangeError(`Cannot make key encryption key: ${key.length} octets, expected ${KEY_OCTETS}`);
  const id = createHash('sha256').update('countersign key encryption key id v1\0').update(key).digest('hex').slice(0, 32);
  return { id: `kek-${id}`, key: new Secret(Uint8Array.from(key)) };
}

async function readPrivateFile(
  path: string,
  dataDirectory: string,
  size: { readonly minimum: number; readonly maximum: number },
): Promise<Buffer> {
  await refuseInside(path, dataDirectory);
  const file = await open(path, 'r').catch((cause: unknown) => {
    throw new Problem('key-file-unsafe', `Cannot read key file: ${path}, expected a file that this user can open`, { cause });
  });
  try {
    const facts = await file.stat();
    const mode = facts.mode & 0o777;
    if (!facts.isFile() || mode !== 0o600 || facts.uid !== process.getuid?.()) {
      throw new Problem(
        'key-file-unsafe',
        `Cannot use key file: ${path} has mode ${mode.toString(8)} and owner ${facts.uid}, expected a regular file of this user with mode 600`,
      );
    }
    if (facts.size < size.minimum || facts.size > size.maximum) {
      throw new Problem(
        'key-file-unsafe',
        `Cannot use key file: ${path} has ${facts.size} octets, expected ${size.minimum} to ${size.maximum}`,
      );
    }
    return await file.readFile();
  } finally {
    await file.close();
  }
}

/** The file need not exist yet; its directory must. Links are followed first, as the reader would. */
async function refuseInside(path: string, dataDirectory: string): Promise<void> {
  const refuse = (cause: unknown): never => {
    throw new Problem('key-file-unsafe', `Cannot use key file: ${path}, expected its directory and the data directory to exist`, { cause });
  };
  const resolved = await realpath(path)
    .catch(async () => join(await realpath(dirname(path)), basename(path)))
    .catch(refuse);
  const data = await realpath(dataDirectory).catch(refuse);
  if (resolved === data || resolved.startsWith(data.endsWith(sep) ? data : data + sep)) {
    throw new Problem(
      'key-file-unsafe',
      `Cannot use key file: ${path} lies in the data directory, expected a place that is not backed up with the data`,
    );
  }
}

const KEY_OCTETS = 32;
const MINIMUM_PASSPHRASE = 12;
/** More than any passphrase that a person writes; keeps a wrong path from being read whole. */
const MAXIMUM_PASSPHRASE = 1024;
