// One heartbeat: 16 bytes to port 0xE9. README.md has the layout.
#include "guest.h"

volatile u32 beat_sequence;
volatile bool filling, parked_flag;

void beat() {
  u32 work = written[0] + written[1], bad = errors[0] + errors[1], sequence = beat_sequence++;
  union { u8 bytes[16]; u16 halves[8]; u32 words[4]; } r;
  r.bytes[0] = 0x5E;
  r.bytes[1] = 0x47;
  r.bytes[2] = 1;
  r.bytes[3] = (filling ? 1 : 0) | (parked_flag ? 2 : 0) | (bad ? 4 : 0) | (phase_on ? 8 : 0);
  r.words[1] = sequence;
  r.words[2] = work;
  r.halves[6] = bad > 0xFFFF ? 0xFFFF : bad;
  u16 sum = 0;
  for (int i = 0; i < 7; i++) sum += r.halves[i];
  r.halves[7] = ~sum;
  for (int i = 0; i < 16; i++) outb(0xE9, r.bytes[i]);
}
