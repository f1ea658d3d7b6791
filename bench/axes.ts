import type { Axis } from './measurement.ts';
import { startupAxis } from './startup.ts';

/** Every axis of `npm run bench`, by name. */
export const axes: readonly Axis[] = [startupAxis];
