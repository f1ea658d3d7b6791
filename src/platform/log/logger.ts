import { pino } from 'pino';

/** Typed events only: a word and plain fields. Outside strings are fields, never part of the word. */
export type Log = (level: LogLevel, event: string, fields?: { readonly [name: string]: unknown }) => void;
export type LogLevel = 'debug' | 'info' | 'warn' | 'error';

/** JSON lines on stderr, so that stdout stays for answers. Errors are logged with their cause. */
export function openLog(program: string, level: LogLevel): Log {
  const logger = pino(
    {
      level,
      serializers: { error: pino.stdSerializers.errWithCause, err: pino.stdSerializers.errWithCause },
      base: { program, pid: process.pid },
      timestamp: pino.stdTimeFunctions.isoTime,
    },
    pino.destination({ dest: 2, sync: false }),
  );
  return (at, event, fields = {}) => logger[at](fields, event);
}
