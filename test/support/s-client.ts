import { spawn } from 'node:child_process';

/** What `openssl s_client` printed of one connection, on which it sent this. */
export function sClient(
  port: number,
  args: readonly string[],
  sent = 'GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n',
): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const client = spawn('openssl', ['s_client', '-connect', `127.0.0.1:${port}`, '-ign_eof', ...args], { timeout: 20_000 });
  let text = '';
  client.stdout.on('data', (chunk: Buffer) => (text += chunk.toString('latin1')));
  client.stderr.on('data', (chunk: Buffer) => (text += chunk.toString('latin1')));
  client.stdin.on('error', () => {});
  client.once('error', reject).once('close', () => resolve(text));
  client.stdin.end(sent);
  return promise;
}
