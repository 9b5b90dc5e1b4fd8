"""Pure: the calls on devices: registering, reading, changing and deleting them. Contract page, section 7."""

from datetime import datetime

from firmcast_sdk.client.call import (
    Call,
    Page,
    Paging,
    delete,
    fill,
    get,
    nothing,
    page_of,
    page_reader,
    post,
    put,
    reader,
)
from firmcast_sdk.wire import devices as wire
from firmcast_sdk.wire.devices import (
    Device,
    DeviceActivation,
    DeviceConfig,
    DeviceStatus,
    NodeType,
    RefreshDeviceResponse,
    RegisterDeviceResponse,
    RegisteredDeviceInfo,
    Sort,
)
from firmcast_sdk.wire.errors import DEVICE_DATA_NOT_FOUND, DEVICE_NOT_FOUND

_GONE = frozenset({DEVICE_NOT_FOUND.code, DEVICE_DATA_NOT_FOUND.code})


def register_device(
    node_id: str,
    *,
    verify_code: str | None = None,
    end_user_id: str | None = None,
    psk: str | None = None,
    timeout_seconds: int | None = None,
    is_secure: bool | None = None,
    imsi: str | None = None,
    product_id: str | None = None,
    device_name: str | None = None,
    group_id: str | None = None,
    account: str | None = None,
    device_info: RegisteredDeviceInfo | None = None,
    app_id: str | None = None,
) -> Call[RegisterDeviceResponse]:
    """Register a device, so that it may come.

    Args:
        node_id: what the device calls itself, which is its LwM2M endpoint name: an IMEI, or urn:imei:….
        verify_code: the same for NB-IoT devices; None for the platform's choice.
        end_user_id: IMSI of the device.
        psk: its pre-shared key for DTLS, 8 to 32 hexadecimal digits; None for the platform's choice.
        timeout_seconds: within which the device must come for the first time; 0 for no limit, None for 180.
        is_secure: whether it must use DTLS.
        imsi: IMSI of the device, where clients give it apart.
        product_id: the product that it is one of.
        device_name: a name for people.
        group_id: the device group to put it into.
        account: whose it is, in the application's own words.
        device_info: what is known of it already: maker, type, model, name, place.
        app_id: the application that owns the device; None for the caller itself.

    Returns:
        The new device's id and what it authenticates with.

    Raises:
        ConflictError: the node id or the verification code is in use.
        InvalidRequestError: a value is not allowed.
        LimitReachedError: the platform takes no further device.

    Source: contract page, section 7.
    """
    body = wire.RegisterDeviceRequest(
        verify_code=verify_code,
        node_id=node_id,
        end_user_id=end_user_id,
        psk=psk,
        timeout=timeout_seconds,
        is_secure=is_secure,
        imsi=imsi,
        product_id=product_id,
        device_name=device_name,
        group_id=group_id,
        account=account,
        device_info=device_info,
    )
    query = wire.DeviceAddress(app_id=app_id)
    return post(wire.DEVICE_CREDENTIALS_PATH, body, reader(RegisterDeviceResponse), query=query)


def refresh_device(
    device_id: str,
    *,
    verify_code: str | None = None,
    node_id: str | None = None,
    timeout_seconds: int | None = None,
    app_id: str | None = None,
) -> Call[RefreshDeviceResponse]:
    """Give a registered device another verification code or time limit; None leaves a value as it is.

    Args:
        device_id: its id.
        verify_code: the new code.
        node_id: what the device calls itself from now on.
        timeout_seconds: within which it must come; 0 for no limit.
        app_id: the application that owns the device; None for the caller itself.

    Returns:
        What holds from now on.

    Raises:
        NotFoundError: there is none of this id.
        ConflictError: it is online, or was never active, or the code is in use.

    Source: contract page, section 7.
    """
    path = fill(wire.DEVICE_CREDENTIAL_PATH, device_id=device_id)
    body = wire.RefreshDeviceRequest(verify_code=verify_code, node_id=node_id, timeout=timeout_seconds)
    return put(path, body, reader(RefreshDeviceResponse), query=wire.DeviceAddress(app_id=app_id))


def device_activation(device_id: str, *, app_id: str | None = None) -> Call[DeviceActivation]:
    """Ask whether a device ever came.

    Args:
        device_id: its id.
        app_id: the application that owns the device; None for the caller itself.

    Raises:
        NotFoundError: there is none of this id.

    Source: contract page, section 7.
    """
    path = fill(wire.DEVICE_CREDENTIAL_PATH, device_id=device_id)
    return get(path, reader(DeviceActivation), wire.DeviceAddress(app_id=app_id))


def modify_device(
    device_id: str,
    *,
    name: str | None = None,
    end_user: str | None = None,
    mute: str | None = None,
    manufacturer_id: str | None = None,
    manufacturer_name: str | None = None,
    device_type: str | None = None,
    model: str | None = None,
    location: str | None = None,
    protocol_type: str | None = None,
    device_config: DeviceConfig | None = None,
    region: str | None = None,
    organization: str | None = None,
    timezone: str | None = None,
    is_secure: bool | None = None,
    psk: str | None = None,
    imsi: str | None = None,
    ip: str | None = None,
    app_id: str | None = None,
) -> Call[None]:
    """Change a device; None leaves a value as it is.

    Args:
        device_id: its id.
        name: a name for people.
        end_user: who uses it.
        mute: "TRUE" or "FALSE": whether its reports are passed over.
        manufacturer_id: the maker's id; with model and protocol it says what the device is.
        manufacturer_name: the maker's name; upgrade tasks choose devices of a group by it, its type and its model.
        device_type: what it is, such as WaterMeter.
        model: which one.
        location: where it is.
        protocol_type: what it speaks, such as LWM2M.
        device_config: how long its data are kept.
        region: where it is, coarsely.
        organization: whom it belongs to.
        timezone: where it is, by its clock.
        is_secure: whether it must use DTLS.
        psk: its pre-shared key for DTLS, 8 to 32 hexadecimal digits.
        imsi: IMSI of the device.
        ip: its address, for people.
        app_id: the application that owns the device; None for the caller itself.

    Raises:
        NotFoundError: there is none of this id.
        InvalidRequestError: a value is not allowed.

    Source: contract page, section 7.
    """
    body = wire.ModifyDeviceRequest(
        name=name, end_user=end_user, mute=mute, manufacturer_id=manufacturer_id, manufacturer_name=manufacturer_name,
        device_type=device_type, model=model, location=location, protocol_type=protocol_type,
        device_config=device_config, region=region, organization=organization, timezone=timezone, is_secure=is_secure,
        psk=psk, imsi=imsi, ip=ip,
    )  # fmt: skip
    path = fill(wire.DEVICE_PATH, device_id=device_id)
    return put(path, body, nothing, query=wire.DeviceAddress(app_id=app_id))


def device(device_id: str, *, select: str | None = None, app_id: str | None = None) -> Call[Device]:
    """Read one device: what it is, and whether it is reachable.

    Args:
        device_id: its id.
        select: "imsi" asks for that too; Firmcast takes the word and has nothing to add.
        app_id: the application that owns the device; None for the caller itself.

    Raises:
        NotFoundError: there is none of this id.

    Source: contract page, section 7.
    """
    path = fill(wire.DEVICE_PATH, device_id=device_id)
    return get(path, reader(Device), wire.DeviceAddress(app_id=app_id, select=select))


def devices(
    *,
    gateway_id: str | None = None,
    node_type: NodeType | None = None,
    device_type: str | None = None,
    status: DeviceStatus | None = None,
    start_time: datetime | None = None,
    end_time: datetime | None = None,
    sort: Sort | None = None,
    select: str | None = None,
    app_id: str | None = None,
    page_size: int = 100,
) -> Paging[Device]:
    """Go through the devices, page by page.

    Args:
        gateway_id: only those behind this gateway; a device that is connected directly is its own.
        node_type: only those of this kind.
        device_type: only those of this type.
        status: only those that are online, say.
        start_time: only those created at this moment or later; aware, whole seconds.
        end_time: only those created at this moment or before; aware, whole seconds.
        sort: by creation; None: the latest first.
        select: "imsi" asks for that too; Firmcast takes the word and has nothing to add.
        app_id: the application that owns the devices; None for the caller itself.
        page_size: how many are read at a time.

    Raises:
        InvalidRequestError: a filter or the page size is not allowed.

    Source: contract page, section 7.
    """

    def call(page_no: int) -> Call[Page[Device]]:
        query = wire.DeviceQuery(
            app_id=app_id,
            gateway_id=gateway_id,
            node_type=node_type,
            device_type=device_type,
            page_no=page_no,
            page_size=page_size,
            status=status,
            start_time=start_time,
            end_time=end_time,
            sort=sort,
            select=select,
        )
        return get(wire.DEVICES_PATH, page_reader(wire.DeviceList, lambda page: page_of(page, page.devices)), query)

    return Paging(page_size=page_size, call=call, identify=lambda one: one.device_id)


def delete_device(device_id: str, *, cascade: bool | None = None, app_id: str | None = None) -> Call[None]:
    """Delete a device; it may not come again.

    Args:
        device_id: its id.
        cascade: whether the devices behind it go too.
        app_id: the application that owns the device; None for the caller itself.

    Raises:
        NotFoundError: there is none of this id.

    Source: contract page, section 7.
    """
    path = fill(wire.DEVICE_PATH, device_id=device_id)
    return delete(path, gone=_GONE, query=wire.DeviceAddress(app_id=app_id, cascade=cascade))
