/* A hidapi (libhidapi-hidraw) whose devices are sockets: what pyspacemouse and easyhid load in tests, so that
 * their own code runs against an emulated SpaceMouse.
 *
 * Devices are the SOCK_SEQPACKET sockets VVVV_PPPP_<name>.hid (vendor and product in hex) in the folder named by
 * RFS_HIDAPI_FOLDER. One packet is one report. A device that closes its socket has been unplugged.
 */
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <wchar.h>

struct hid_device_info {
  char *path;
  unsigned short vendor_id;
  unsigned short product_id;
  wchar_t *serial_number;
  unsigned short release_number;
  wchar_t *manufacturer_string;
  wchar_t *product_string;
  unsigned short usage_page;
  unsigned short usage;
  int interface_number;
  struct hid_device_info *next;
};

typedef struct hid_device_ {
  int socket;
  int nonblocking;
} hid_device;

int hid_init(void) { return 0; }
int hid_exit(void) { return 0; }

void hid_free_enumeration(struct hid_device_info *device) {
  while (device) {
    struct hid_device_info *next = device->next;
    free(device->path);
    free(device->serial_number);
    free(device->manufacturer_string);
    free(device->product_string);
    free(device);
    device = next;
  }
}

struct hid_device_info *hid_enumerate(unsigned short vendor, unsigned short product) {
  const char *folder = getenv("RFS_HIDAPI_FOLDER");
  DIR *directory = folder ? opendir(folder) : NULL;
  struct hid_device_info *first = NULL;
  struct dirent *entry;
  while (directory && (entry = readdir(directory))) {
    unsigned int v, p;
    size_t length = strlen(entry->d_name);
    if (length < 4 || strcmp(entry->d_name + length - 4, ".hid") || sscanf(entry->d_name, "%4x_%4x_", &v, &p) != 2)
      continue;
    if ((vendor && v != vendor) || (product && p != product)) continue;
    struct hid_device_info *device = calloc(1, sizeof *device);
    device->path = malloc(strlen(folder) + length + 2);
    sprintf(device->path, "%s/%s", folder, entry->d_name);
    device->vendor_id = (unsigned short)v;
    device->product_id = (unsigned short)p;
    device->release_number = 1;
    device->serial_number = wcsdup(L"1");
    device->manufacturer_string = wcsdup(L"emulated");
    device->product_string = wcsdup(L"SpaceMouse");
    device->next = first;
    first = device;
  }
  if (directory) closedir(directory);
  return first;
}

hid_device *hid_open_path(const char *path) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (strlen(path) >= sizeof address.sun_path) return NULL;
  strcpy(address.sun_path, path);
  int handle = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  if (handle < 0) return NULL;
  if (connect(handle, (struct sockaddr *)&address, sizeof address)) {
    close(handle);
    return NULL;
  }
  hid_device *device = calloc(1, sizeof *device);
  device->socket = handle;
  return device;
}

hid_device *hid_open(unsigned short vendor, unsigned short product, const wchar_t *serial) {
  (void)serial;
  struct hid_device_info *found = hid_enumerate(vendor, product);
  hid_device *device = found ? hid_open_path(found->path) : NULL;
  hid_free_enumeration(found);
  return device;
}

int hid_set_nonblocking(hid_device *device, int nonblocking) {
  device->nonblocking = nonblocking;
  return 0;
}

int hid_read_timeout(hid_device *device, unsigned char *data, size_t length, int milliseconds) {
  struct pollfd ready = {.fd = device->socket, .events = POLLIN};
  int count = poll(&ready, 1, milliseconds);
  if (count <= 0) return count;
  ssize_t got = recv(device->socket, data, length, MSG_DONTWAIT);
  if (got > 0) return (int)got;
  return got < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : -1;
}

int hid_read(hid_device *device, unsigned char *data, size_t length) {
  return hid_read_timeout(device, data, length, device->nonblocking ? 0 : -1);
}

int hid_write(hid_device *device, const unsigned char *data, size_t length) {
  return (int)send(device->socket, data, length, MSG_NOSIGNAL | MSG_DONTWAIT);
}

int hid_send_feature_report(hid_device *device, const unsigned char *data, size_t length) {
  return hid_write(device, data, length);
}

int hid_get_feature_report(hid_device *device, unsigned char *data, size_t length) {
  (void)device, (void)data, (void)length;
  return -1;
}

void hid_close(hid_device *device) {
  if (!device) return;
  close(device->socket);
  free(device);
}

static int copy(const wchar_t *text, wchar_t *string, size_t length) {
  wcsncpy(string, text, length);
  return 0;
}

int hid_get_manufacturer_string(hid_device *device, wchar_t *string, size_t length) {
  (void)device;
  return copy(L"emulated", string, length);
}

int hid_get_product_string(hid_device *device, wchar_t *string, size_t length) {
  (void)device;
  return copy(L"SpaceMouse", string, length);
}

int hid_get_serial_number_string(hid_device *device, wchar_t *string, size_t length) {
  (void)device;
  return copy(L"1", string, length);
}

int hid_get_indexed_string(hid_device *device, int index, wchar_t *string, size_t length) {
  (void)device, (void)index, (void)string, (void)length;
  return -1;
}

const wchar_t *hid_error(hid_device *device) {
  (void)device;
  return L"emulated hidapi";
}
