// COM1. Received bytes are polled by the 200 Hz tick, so an answer takes up to 5 ms.
#include "guest.h"

enum { COM1 = 0x3F8, RING = 256 };
static volatile u8 ring[RING];
static volatile u32 ring_head, ring_tail;

void serial_init() {
  outb(COM1 + 1, 0);     // no interrupts
  outb(COM1 + 3, 0x80);  // divisor
  outb(COM1 + 0, 1);
  outb(COM1 + 1, 0);
  outb(COM1 + 3, 0x03);  // 8n1
  outb(COM1 + 2, 0x07);  // queues on and empty
  outb(COM1 + 4, 0x03);
}

void serial_poll() {
  for (int i = 0; i < 16 && (inb(COM1 + 5) & 1); i++) {
    u8 c = inb(COM1);
    if (ring_head - ring_tail < RING) ring[ring_head++ % RING] = c;
  }
}

int serial_take() {
  if (ring_tail == ring_head) return -1;
  u8 c = ring[ring_tail % RING];
  ring_tail = ring_tail + 1;
  return c;
}

static void put_char(char c) {
  // A reader that has gone away must not stop the guest.
  for (u32 i = 0; i < 100000 && !(inb(COM1 + 5) & 0x20); i++) {}
  outb(COM1, c);
}

void put(const char* text) { while (*text) put_char(*text++); }

void put_u32(u32 value) {
  char digits[11];
  int n = 10;
  digits[n] = 0;
  do digits[--n] = '0' + value % 10; while (value /= 10);
  put(digits + n);
}

void put_field(const char* name, u32 value) {
  put(" ");
  put(name);
  put("=");
  put_u32(value);
}
