import type { Log } from '../../platform/log/logger.ts';

/** JSON lines on stderr for what somebody should see; a service with a logger of its own gives that. */
export const logToStderr: Log = (level, event, fields = {}) => {
  if (level === 'debug' || level === 'info') return;
  const plain = Object.fromEntries(Object.entries(fields).map(([name, value]) => [name, value instanceof Error ? String(value) : value]));
  process.stderr.write(`${JSON.stringify({ time: new Date().toISOString(), level, program: 'countersign-sdk', event, ...plain })}\n`);
};
