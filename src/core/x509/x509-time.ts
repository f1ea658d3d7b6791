import { DAY_MS, type Instant } from '../time/instant.ts';
import { type DerReader, malformed, tags } from './der.ts';
import { type DerNode, primitive } from './der-writer.ts';

/**
 * Reads `Time` (RFC 5280 section 4.1.2.5): UTCTime or GeneralizedTime with seconds and `Z`, no fraction, a date that exists.
 * Either form is read for every year, as applications must; which form a CA has to write is the lint's matter.
 * @throws der-malformed
 */
export function readTime(reader: DerReader): Instant {
  const utc = reader.nextTag === tags.utcTime;
  return instantOf(reader.content(utc ? tags.utcTime : tags.generalizedTime), utc);
}

/** Reads a GeneralizedTime alone (reason extensions of certificate lists). @throws der-malformed */
export function readGeneralizedTime(reader: DerReader): Instant {
  return instantOf(reader.content(tags.generalizedTime), false);
}

function instantOf(octets: Uint8Array, utc: boolean): Instant {
  const digits = utc ? 12 : 14;
  if (octets.length !== digits + 1 || octets[digits] !== 0x5a) throw malformed('time without seconds or Z');
  const short = pairAt(octets, 0);
  const year = utc ? (short >= 50 ? 1900 + short : 2000 + short) : short * 100 + pairAt(octets, 2);
  const at = utc ? 2 : 4;
  const month = pairAt(octets, at);
  const day = pairAt(octets, at + 2);
  const hour = pairAt(octets, at + 4);
  const minute = pairAt(octets, at + 6);
  const second = pairAt(octets, at + 8);
  if (month < 1 || month > 12 || day < 1 || day > daysOf(year, month) || hour > 23 || minute > 59 || second > 59) {
    throw malformed('time that does not exist');
  }
  // Of the first century Date.UTC makes the twentieth; four hundred years are always as many days.
  return Date.UTC(year + 400, month - 1, day, hour, minute, second) - FOUR_CENTURIES_MS;
}

function pairAt(octets: Uint8Array, at: number): number {
  const tens = octets[at]! - 0x30;
  const ones = octets[at + 1]! - 0x30;
  if (tens < 0 || tens > 9 || ones < 0 || ones > 9) throw malformed('time with a character that is no digit');
  return tens * 10 + ones;
}

function daysOf(year: number, month: number): number {
  if (month !== 2) return month === 4 || month === 6 || month === 9 || month === 11 ? 30 : 31;
  return year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0) ? 29 : 28;
}

/** UTCTime through 2049, GeneralizedTime from 2050 on; milliseconds are cut off. Instants from 1950 to 9999. */
export function time(instant: Instant): DerNode {
  const year = new Date(instant).getUTCFullYear();
  if (year < 1950 || year > 9999) throw new RangeError(`Cannot write time: year ${year}, expected 1950 to 9999`);
  return year < 2050 ? primitive(tags.utcTime, digitsOf(instant).slice(2)) : generalizedTime(instant);
}

export function generalizedTime(instant: Instant): DerNode {
  return primitive(tags.generalizedTime, digitsOf(instant));
}

/** `YYYYMMDDhhmmssZ`. */
function digitsOf(instant: Instant): string {
  const iso = new Date(instant).toISOString();
  return `${iso.slice(0, 4)}${iso.slice(5, 7)}${iso.slice(8, 10)}${iso.slice(11, 13)}${iso.slice(14, 16)}${iso.slice(17, 19)}Z`;
}

/** 9999-12-31T23:59:59Z: "no well-defined expiration date" (RFC 5280 section 4.1.2.5). */
export const NO_EXPIRY: Instant = 253_402_300_799_000;
const FOUR_CENTURIES_MS = 146_097 * DAY_MS;
